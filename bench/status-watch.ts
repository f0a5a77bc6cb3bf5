import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { adminApp } from '../agent/admin/app.js'
import { adminEvents } from '../agent/observability/admin-events.js'
import { servePrivately } from '../agent/platform/private-http.js'
import type { ConnectedWorkload } from '../agent/workload-api/connections.js'
import { adminSourcesWith } from '../test/fakes/admin.js'
import { RecordedSinks } from '../test/fakes/sinks.js'
import { Crowd, type Member } from '../test/simulation/crowd.js'
import { bundlePrograms } from '../test/support/bundle-programs.js'

/**
 * The cost of `icp-agent status --watch` for an agent with 10,000 entries and 2,000 workloads: the ratio of the event loop's
 * delay with it to that without, and its share of a core. This process has match, view and decision, 4,000 streams without
 * sockets, and the real admin socket; an SVID is issued and pushed twenty times a second. Rounds with and without it
 * alternate, so that other load on the machine affects both. The argument is the seconds of a round.
 */
const ENTRIES = 10_000
const WORKLOADS = 2_000
const MATCHED = 1_000
const ROUNDS = 5
const ISSUE_MS = 50
const TICK_MS = 1
const FORMS: readonly (readonly string[])[] = [[], ['workloads'], ['entries']]

const seconds = Number(process.argv[2] ?? 10)
const crowd = new Crowd({ entries: ENTRIES, workloads: WORKLOADS, matched: MATCHED })
crowd.open()
for (let n = 0; n < MATCHED; n++) crowd.issue(n)
await new Promise((resolve) => setImmediate(resolve))

const connected = crowd.members.map(listing)
const sources = adminSourcesWith({
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  snapshot: () => crowd.store.current,
  connected: () => connected,
})
const app = await adminApp(sources, adminEvents(new RecordedSinks(), crowd.clock))
const directory = mkdtempSync(join(tmpdir(), 'icp-bench-'))
const socket = join(directory, 'admin.sock')
let issued = 0
/** Bytes of shown answers. */
let shown = 0
const issuing = setInterval(() => crowd.issue(issued++ % MATCHED), ISSUE_MS)
try {
  const { agent } = await bundlePrograms(process.cwd(), join(directory, 'programs'), { agent: 'agent/main/index.ts' })
  await using _server = await servePrivately({
    ...{ path: socket, maxConnections: 16, admit: () => true, onExcess: () => undefined },
    onRequest: (request, response) => app.routing(request, response),
  })
  // Warms up, so that everything is compiled before the first measurement.
  for (const form of FORMS) await watched(agent, form, () => sleep(5_000))
  for (const form of FORMS) {
    const [without, within]: [Round[], Round[]] = [[], []]
    shown = 0
    for (let n = 0; n < ROUNDS; n++) {
      without.push(await round())
      within.push(await watched(agent, form, round))
    }
    report(`status ${[...form, '--watch'].join(' ')}`, without, within)
  }
} finally {
  clearInterval(issuing)
  rmSync(directory, { recursive: true })
}

interface Round {
  readonly p99: number
  readonly most: number
  /** Share of a core. */
  readonly processor: number
}

async function round(): Promise<Round> {
  globalThis.gc?.()
  const delay = monitorEventLoopDelay({ resolution: TICK_MS })
  const [cpu, began] = [process.cpuUsage(), performance.now()]
  delay.enable()
  await sleep(seconds * 1_000)
  delay.disable()
  const { user, system } = process.cpuUsage(cpu)
  const processor = (user + system) / 1_000 / (performance.now() - began)
  return { p99: delay.percentile(99) / 1e6 - TICK_MS, most: delay.max / 1e6 - TICK_MS, processor }
}

/** Runs the work while another process watches with all rows. */
async function watched<T>(agent: string, form: readonly string[], work: () => Promise<T>): Promise<T> {
  const args = [agent, 'status', ...form, '--watch', '-o', 'json', '--admin-socket', socket]
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  if (child.stdout === null) throw new TypeError('a pipe was asked for')
  await once(child.stdout, 'data')
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.length
  })
  try {
    return await work()
  } finally {
    const ended = once(child, 'exit')
    child.kill()
    await ended
  }
}

function report(what: string, without: readonly Round[], within: readonly Round[]): void {
  const of = (rounds: readonly Round[], figure: keyof Round) => middle(rounds.map((each) => each[figure]))
  const [before, after] = [of(without, 'p99'), of(within, 'p99')]
  const most = `most ${of(without, 'most').toFixed(1)} and ${of(within, 'most').toFixed(1)} ms`
  const share = (100 * (of(within, 'processor') - of(without, 'processor'))).toFixed(2)
  process.stdout.write(
    `${what.padEnd(26)} p99 ${before.toFixed(2)} ms without, ${after.toFixed(2)} ms with: ratio ${(after / before).toFixed(2)}; ${most}; ${share} % of a core more; ${Math.round(shown / 1024)} KiB shown\n`,
  )
}

function middle(figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[figures.length >> 1] ?? 0
}

function listing({ workload }: Member, n: number): ConnectedWorkload {
  const pid = 1_000 + n
  const streams = (['spiffe', 'authsec'] as const).map((dialect) => ({
    ...{ dialect, method: 'FetchX509SVID' as const, since: 0, sent: 1 },
  }))
  const connections = [{ id: `c${n}`, calls: 2, streams, since: 0 }]
  return { pid, key: `w${n}`, describe: () => ({ ...workload.describe(), pid, connections }) }
}
