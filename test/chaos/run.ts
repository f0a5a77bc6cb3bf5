import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { commit } from './faults.js'
import { BACK_WITHIN_MS, type Violation } from './ledger.js'
import { type Kind, planFaults, type Tempo } from './plan.js'
import { type Course, courseOf, type Sample } from './samples.js'
import { waitedOf } from './starvation.js'
import { growths } from './steadiness.js'
import { World, type WorldOptions } from './world.js'

export interface ChaosOptions {
  readonly seed: number
  readonly runMs: number
  readonly world: WorldOptions
  readonly tempo: Tempo
  /** Ends the run early; the report tells what was reached. */
  readonly signal?: AbortSignal
  /** Called with a line now and then. */
  readonly say?: (line: string) => void
  /** Where the agents' logs are copied when something was violated. */
  readonly keepLogs?: string
}

export interface ChaosReport {
  readonly seed: number
  readonly seconds: number
  readonly workloads: number
  readonly faults: Readonly<Partial<Record<Kind, number>>>
  readonly faultCount: number
  readonly skipped: Readonly<Record<string, string>>
  readonly messages: number
  readonly svidsReceived: number
  /** Certificates that a workload had not seen before. */
  readonly certificatesReceived: number
  /** JWT-SVIDs that workloads fetched and verified, could not verify for want of keys, and did not get. */
  readonly jwts: Readonly<Record<'verified' | 'unverified' | 'refused', number>>
  /** How often a workload lost an identity whose entry was gone, and the longest that took, faults included. */
  readonly withdrawals: { readonly count: number; readonly longestMs: number }
  /** In which the machine had no processor for the agents or the driver: such time does not count. */
  readonly starvedSeconds: number
  readonly violations: readonly Violation[]
  /** The longest that any workload was without, faults included, and after the last of them had ended. */
  readonly longestGapMs: number
  readonly longestRecoveryMs: number
  /** Of the agent that is never stopped. */
  readonly steady: Course
}

const SAMPLE_MS = 5_000
const WATCH_MS = 1_000
/** Fifty processes start and the first identities are issued within the pace that the server allows. */
const START_LIMIT_MS = 60_000

/** One run: everything starts, the planned faults happen, everybody is given the time to come back. */
export async function runChaos(chaos: ChaosOptions): Promise<ChaosReport> {
  const { seed, runMs, world: options, tempo, say, keepLogs, signal } = chaos
  const faults = planFaults(seed, runMs, BACK_WITHIN_MS + 1_000, tempo)
  await using world = await World.create(options)
  const { ledger } = world
  const samples: Sample[] = []
  const steady = world.nodes[1]
  const sampling = setInterval(() => {
    const sample = steady?.agent.sample()
    void steady?.agent.heap().then((heapKib) => {
      if (sample && heapKib !== null) samples.push({ at: Date.now(), heapKib, ...sample })
    })
  }, SAMPLE_MS)
  const watching = setInterval(() => {
    const pids = [process.pid, ...world.nodes.flatMap(({ agent }) => agent.pid ?? [])]
    const waited = pids.map(waitedOf).filter((each) => each !== null)
    ledger.starvation.sample(Date.now(), waited)
  }, WATCH_MS)
  await world.everybodyServed(START_LIMIT_MS)
  const began = Date.now()
  ledger.begin(began)
  const failures: unknown[] = []
  const committed: Promise<void>[] = []
  const until = (at: number) => pause(Math.max(0, began + at - Date.now()), signal)
  for (const fault of faults) {
    await until(fault.at)
    if (signal?.aborted) break
    say?.(
      `${seconds(Date.now() - began)} ${fault.kind} for ${seconds(fault.lastsMs)}; ${ledger.violations.length} violations`,
    )
    committed.push(commit(world, fault).catch((error: unknown) => void failures.push(error)))
  }
  await Promise.all(committed)
  await until(runMs)
  clearInterval(sampling)
  clearInterval(watching)
  const now = Date.now()
  ledger.close(now, { hearsAfterMs: options.syncMs * 1.1 })
  for (const growth of growths(samples)) ledger.violation(`agent steady: ${growth}`, now)
  if (failures.length > 0) throw failures[0]
  if (keepLogs !== undefined && ledger.violations.length > 0) {
    await mkdir(keepLogs, { recursive: true })
    const all = { faults: ledger.faults, violations: ledger.violations }
    await writeFile(join(keepLogs, `chaos-${seed}.json`), JSON.stringify(all, null, 1))
    for (const { name } of world.nodes) {
      await copyFile(join(world.directory, `${name}.log`), join(keepLogs, `chaos-${seed}-${name}.log`))
    }
  }
  const counts: Partial<Record<Kind, number>> = {}
  for (const { kind } of ledger.faults) counts[kind] = (counts[kind] ?? 0) + 1
  const { gapMs, recoveryMs } = ledger.longest()
  return {
    seed,
    seconds: Math.round((now - began) / 1000),
    workloads: options.workloads + options.steadyWorkloads,
    faults: counts,
    faultCount: ledger.faults.length,
    skipped: Object.fromEntries(ledger.skipped),
    messages: ledger.messages,
    svidsReceived: ledger.svids,
    certificatesReceived: ledger.fresh,
    jwts: ledger.jwts,
    withdrawals: ledger.withdrawals.seen,
    starvedSeconds: ledger.starvation.seconds,
    violations: ledger.violations,
    longestGapMs: gapMs,
    longestRecoveryMs: recoveryMs,
    steady: courseOf(samples),
  }
}

/** Returns early when the signal aborts. */
async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal ? { signal } : {})
  } catch (error) {
    if (!signal?.aborted) throw error
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
