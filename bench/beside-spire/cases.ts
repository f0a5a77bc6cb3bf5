import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Target, usageOf } from './targets.js'

/** One figure of one run of one case. */
export interface Figure {
  readonly name: string
  readonly unit: 'requests/s' | 'ms' | 's CPU / 1,000' | 'MB' | 'KB' | '%' | 'failed'
  /** Which way is better. */
  readonly better: 'more' | 'less'
  readonly value: number
}

export interface Case {
  readonly name: string
  /** Its description for the page. */
  readonly what: string
  /** Which targets it is for. */
  readonly targets: 'all' | 'agents'
  /** True if the entries require the digest of the program, which targets then compute. */
  readonly sha256?: true
  /** Minimum number of repetitions, for short ones that vary much. */
  readonly least?: number
  /** Runs for all targets at the same time: the measured times do not depend on other targets. */
  readonly together?: true
  /** A target to leave out, because it takes long and no aim is compared with it. */
  readonly without?: string
  run(target: Target, bench: Bench): Promise<readonly Figure[]>
}

export interface Bench {
  readonly loadgen: string
  /** Shorter runs, to try the harness. */
  readonly quick: boolean
  /** A new name for an entry. */
  readonly fresh: () => string
  readonly selector: (target: Target) => string
  /** From 0 to 1. */
  readonly random: () => number
}

interface Spread {
  readonly n: number
  readonly p50_us: number
  readonly p99_us: number
  readonly max_us: number
  readonly failed: number
  readonly failure?: string
  readonly per_second?: number
}

const ms = (name: string, microseconds: number): Figure => ({
  name,
  unit: 'ms',
  better: 'less',
  value: microseconds / 1000,
})

/** Longer than any case takes, so that a hanging target fails only its case. */
const PATIENCE_MS = 150_000

/** Runs the load generator to its end. */
async function load<Answer>(bench: Bench, args: readonly string[]): Promise<Answer> {
  const child = spawn(bench.loadgen, [...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject))
  if (code !== 0) throw new Error(`loadgen ${args[0]} ended with ${code ?? 'a signal'}`)
  return JSON.parse(text) as Answer
}

function refuseFailures(spread: Spread): Spread {
  if (spread.n === 0) throw new Error(`nothing succeeded: ${spread.failure}`)
  return spread
}

function steady(command: 'warm' | 'jwt' | 'validate', places: number): Case['run'] {
  return async (target, bench) => {
    const before = usageOf(target.pid).cpuSeconds
    const spread = refuseFailures(
      await load<Spread>(bench, [
        command,
        '-socket',
        target.socket,
        '-at-once',
        String(places),
        '-for',
        bench.quick ? '1s' : '2s',
      ]),
    )
    const used = usageOf(target.pid).cpuSeconds - before
    return [
      { name: 'requests', unit: 'requests/s', better: 'more', value: spread.per_second ?? 0 },
      ms('p50', spread.p50_us),
      ms('p99', spread.p99_us),
      { name: 'processor', unit: 's CPU / 1,000', better: 'less', value: (1000 * used) / spread.n },
      { name: 'failed', unit: 'failed', better: 'less', value: spread.failed },
    ]
  }
}

function cold(processes: number, rounds: number): Case['run'] {
  return async (target, bench) => {
    const times = bench.quick ? Math.max(1, Math.ceil(rounds / 5)) : rounds
    const before = usageOf(target.pid).cpuSeconds
    const spread = refuseFailures(
      await load<Spread>(bench, [
        'cold',
        '-socket',
        target.socket,
        '-processes',
        String(processes),
        '-rounds',
        String(times),
      ]),
    )
    const used = usageOf(target.pid).cpuSeconds - before
    return [
      ms('p50', spread.p50_us),
      ms('p99', spread.p99_us),
      { name: 'processor', unit: 's CPU / 1,000', better: 'less', value: (1000 * used) / spread.n },
      { name: 'failed', unit: 'failed', better: 'less', value: spread.failed },
    ]
  }
}

/** Processes with open streams, controlled line by line. */
class Watchers implements AsyncDisposable {
  readonly #children: readonly { child: ChildProcess; lines: AsyncIterator<string>; gone: Promise<unknown> }[]

  constructor(bench: Bench, socket: string, processes: number, streams: number, each = 50) {
    this.#children = Array.from({ length: processes }, () => {
      const args = ['streams', '-socket', socket, '-streams', String(streams), '-each', String(each)]
      const env = processes > 1 ? { GOMAXPROCS: '1' } : {}
      const child = spawn(bench.loadgen, args, { stdio: ['pipe', 'pipe', 'inherit'], env })
      const gone = new Promise((resolve) => child.once('exit', resolve).once('error', resolve))
      // Writing to an ended process fails; its missing answer reports that.
      child.stdin.on('error', () => undefined)
      return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](), gone }
    })
  }

  async #answers<Answer>(): Promise<Answer[]> {
    return await Promise.all(
      this.#children.map(async ({ lines }) => {
        const { value, done } = await lines.next()
        if (done) throw new Error('a process with streams ended')
        return JSON.parse(value) as Answer
      }),
    )
  }

  async opened(): Promise<void> {
    await this.#answers()
  }

  /** Milliseconds from the first stream that has the change to the last. */
  async change(make: () => Promise<void>): Promise<number> {
    for (const { child } of this.#children) child.stdin?.write('\n')
    await this.#answers()
    await make()
    const at = (await this.#answers<{ at_us: number[] }>()).flatMap((answer) => answer.at_us)
    return (at.reduce((a, b) => Math.max(a, b)) - at.reduce((a, b) => Math.min(a, b))) / 1000
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#children) child.stdin?.end()
    const late = setTimeout(() => {
      for (const { child } of this.#children) child.kill('SIGKILL')
    }, 20_000)
    await Promise.all(this.#children.map(({ gone }) => gone))
    clearTimeout(late)
  }
}

/** A new entry that matches all of them, then a new authority. */
function push(processes: number, streams: number): Case['run'] {
  return async (target, bench) => {
    const { register, newAuthority } = target
    if (register === null || newAuthority === null) return []
    await using watchers = new Watchers(bench, target.socket, processes, streams)
    await watchers.opened()
    const measured = async (of: 'entry' | 'authority', make: () => Promise<void>): Promise<Figure[]> => {
      const before = usageOf(target.pid).cpuSeconds
      const took = await watchers.change(make)
      const used = usageOf(target.pid).cpuSeconds - before
      return [
        ms(`new ${of}, first to last stream`, took * 1000),
        {
          name: `new ${of}, processor`,
          unit: 's CPU / 1,000',
          better: 'less',
          value: (1000 * used) / (processes * streams),
        },
      ]
    }
    const entry = await measured('entry', () => register(bench.fresh(), bench.selector(target)))
    return [...entry, ...(await measured('authority', newAuthority))]
  }
}

/** Long enough to contain one of our entry syncs. */
const IDLE_SECONDS = 30

const memory: Case['run'] = async (target, bench) => {
  await using watchers = new Watchers(bench, target.socket, 1, 2000, 1)
  await watchers.opened()
  await sleep(3_000)
  const opened = usageOf(target.pid)
  const seconds = bench.quick ? 5 : IDLE_SECONDS
  await sleep(1000 * seconds)
  const idle = usageOf(target.pid).cpuSeconds - opened.cpuSeconds
  return [
    { name: 'resident', unit: 'MB', better: 'less', value: opened.rssBytes / 1e6 },
    { name: 'idle processor', unit: '%', better: 'less', value: (100 * idle) / seconds },
  ]
}

/** After a restart: milliseconds from exec to the first answered call. */
async function restarted(target: Target, bench: Bench): Promise<number> {
  let answered: Promise<{ at_us: number }> | undefined
  const began = await target.restart(() => {
    answered = load<{ at_us: number }>(bench, ['first', '-socket', target.socket])
    return answered
  })
  return ((await answered)?.at_us ?? Number.NaN) / 1000 - began
}

const start: Case['run'] = async (target, bench) => {
  const took = await restarted(target, bench)
  await sleep(1_000)
  return [ms('exec to first answer', took * 1000)]
}

/** After a restart, when the load is steady. */
const idle: Case['run'] = async (target, bench) => {
  await restarted(target, bench)
  await sleep(bench.quick ? 5_000 : 20_000)
  const { rssBytes, anonymousBytes } = usageOf(target.pid)
  return [
    { name: 'idle resident', unit: 'MB', better: 'less', value: rssBytes / 1e6 },
    { name: 'of it anonymous', unit: 'MB', better: 'less', value: anonymousBytes / 1e6 },
  ]
}

/** Registers an entry for a program that already asks each second. */
const registered: Case['run'] = async (target, bench) => {
  if (target.register === null) return []
  const copy = `${bench.loadgen}-${bench.fresh()}`
  copyFileSync(bench.loadgen, copy)
  const asking = load<{ at_us: number }>({ ...bench, loadgen: copy }, ['until', '-socket', target.socket])
  await sleep(3_000 + 5_000 * bench.random())
  const began = Date.now()
  await target.register(bench.fresh(), `unix:path:${copy}`)
  const { at_us } = await asking
  return [ms('registered to served', at_us - began * 1000)]
}

/** Cases that add entries and authorities come last, because they make all later messages longer. */
export const CASES: readonly Case[] = [
  { name: 'warm-1', what: 'an SVID on an open connection, one call at a time', targets: 'all', run: steady('warm', 1) },
  { name: 'warm-8', what: 'an SVID on an open connection, 8 calls at once', targets: 'all', run: steady('warm', 8) },
  { name: 'warm-32', what: 'an SVID on an open connection, 32 calls at once', targets: 'all', run: steady('warm', 32) },
  { name: 'cold-1', what: 'new processes, one after the other', targets: 'agents', least: 10, run: cold(1, 100) },
  { name: 'cold-50', what: '50 new processes at once', targets: 'agents', least: 10, run: cold(50, 3) },
  { name: 'cold-500', what: '500 new processes at once', targets: 'agents', least: 10, run: cold(500, 1) },
  {
    name: 'sha256-1',
    what: 'new processes, one after the other, by digest',
    targets: 'agents',
    sha256: true,
    least: 10,
    run: cold(1, 100),
  },
  {
    name: 'sha256-50',
    what: '50 new processes at once, by digest',
    targets: 'agents',
    sha256: true,
    least: 10,
    run: cold(50, 3),
  },
  {
    name: 'sha256-500',
    what: '500 new processes at once, by digest',
    targets: 'agents',
    sha256: true,
    least: 10,
    run: cold(500, 1),
  },
  { name: 'jwt-8', what: 'a JWT-SVID, 8 at once', targets: 'agents', run: steady('jwt', 8) },
  { name: 'validate-8', what: 'validation of a JWT-SVID, 8 at once', targets: 'agents', run: steady('validate', 8) },
  { name: 'start', what: 'a restart with a known identity', targets: 'all', least: 10, run: start },
  { name: 'idle', what: 'memory after a restart, idle', targets: 'all', together: true, run: idle },
  {
    name: 'memory',
    what: '2,000 connections, each with an open stream',
    targets: 'all',
    together: true,
    run: memory,
  },
  {
    name: 'registered',
    what: 'from registration to the SVID, for a program that calls each second',
    targets: 'agents',
    together: true,
    least: 10,
    run: registered,
  },
  { name: 'entry-1', what: 'pushes to 2,000 streams of one process', targets: 'agents', run: push(1, 2000) },
  {
    name: 'entry-many',
    what: 'pushes to 2,000 processes with a stream each',
    targets: 'agents',
    without: 'SPIRE EC',
    run: push(2000, 1),
  },
]
