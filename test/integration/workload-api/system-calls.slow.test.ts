import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once, setMaxListeners } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { WorkloadApiClient } from '../../../agent/client/index.js'
import { startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { bundlePrograms } from '../../support/bundle-programs.js'
import { eventually } from '../../support/until.js'

/**
 * What calls and a push cost, in system calls of the agent and in bytes of its heap: counts, which a busy machine changes little. `recorded` is what
 * was counted when this was written (Node 20, docs/performance.md); a change that needs a quarter more says so there.
 */
const canTrace = process.getuid?.() === 0 && spawnSync('strace', ['-V']).status === 0
/**
 * Those of V8's threads and of its heap, and how often a loop waits and wakes: a machine that runs the agent's threads in turn
 * makes two waits of one, and strace makes each call longer.
 */
const NOT_COUNTED = [
  'epoll_pwait',
  'epoll_wait',
  'futex',
  'madvise',
  'mmap',
  'munmap',
  'mprotect',
  'brk',
  'sched_yield',
  'restart_syscall',
  'getpid',
]

const TOLERANCE = 1.25

/** Of an SVID on an open connection (Node 20: 45,000 to 48,000; Node 26: 48,000 to 51,000). */
const HEAP_BYTES_A_CALL = 48_000

/** Fails where one of the calls (`all`: all of them) was made more often than recorded. `times`: what the figures are of. */
function expectAtMost(
  counts: ReadonlyMap<string, number>,
  times: number,
  recorded: Readonly<Record<string, number>>,
): void {
  const found = Object.fromEntries(
    Object.keys(recorded).map((name) => [name, name === 'all' ? sum(counts) : (counts.get(name) ?? 0)]),
  )
  const tooMany = Object.entries(found).filter(([name, calls]) => calls > times * TOLERANCE * (recorded[name] ?? 0))
  expect(tooMany.map(([name, calls]) => `${name}: ${calls / times}, recorded ${recorded[name]}`)).toEqual([])
}

/** The calls of a process and all of its threads while something is done, by name. */
async function counted(
  pid: number,
  directory: string,
  work: () => Promise<void>,
): Promise<ReadonlyMap<string, number>> {
  const file = join(directory, 'counts')
  const strace = spawn('strace', ['-c', '-f', '-o', file, '-p', String(pid)], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  strace.stderr.on('data', (chunk: Buffer) => {
    said += chunk
  })
  const ended = once(strace, 'exit')
  try {
    await eventually(
      () => said,
      (text) => text.includes('attached'),
    )
    await work()
  } finally {
    strace.kill('SIGINT')
    await ended
  }
  const counts = new Map<string, number>()
  for (const line of (await readFile(file, 'utf8')).split('\n')) {
    // % time, seconds, usecs/call, calls, perhaps errors, name
    const [, calls, name] = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z]\w*)$/.exec(line) ?? []
    if (calls && name && name !== 'total') counts.set(name, Number(calls))
  }
  return counts
}

/**
 * Loaded before the agent: says what its heap holds. Its young generation is large enough for a round of calls, so that
 * nothing is collected in between.
 */
const PROBE = `
process.on('message', (collect) => {
  if (collect) globalThis.gc()
  process.send(process.memoryUsage().heapUsed)
})
process.channel.unref()
`
const PROBE_OPTIONS = ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64', '--require']

async function heapOf(agent: ChildProcess, { collect }: { readonly collect: boolean }): Promise<number> {
  const answered = once(agent, 'message')
  agent.send(collect)
  const [bytes] = await answered
  return Number(bytes)
}

/**
 * Bytes of heap a call: the middle of five rounds, because code is compiled and entries are read meanwhile. Short ones: the
 * clients of this process share a connection, and one is cut at 1,000 streams that its client ends.
 */
async function allocatedByCall(agent: ChildProcess, fetches: (times: number) => Promise<void>): Promise<number> {
  const CALLS = 60
  const rounds: number[] = []
  for (let round = 0; round < 5; round++) {
    const before = await heapOf(agent, { collect: true })
    await fetches(CALLS)
    rounds.push(((await heapOf(agent, { collect: false })) - before) / CALLS)
  }
  return rounds.toSorted((a, b) => a - b)[2] ?? 0
}

const sum = (counts: ReadonlyMap<string, number>) =>
  [...counts].reduce((all, [name, calls]) => (NOT_COUNTED.includes(name) ? all : all + calls), 0)

describe.runIf(canTrace)('the system calls and the heap of the agent', () => {
  it('for fetches and for a push are what was recorded', { timeout: 120_000 }, async () => {
    await using dir = await temporaryDirectory()
    await using server = await startServer(join(dir.path, 'icp'))
    const { agent } = await bundlePrograms(process.cwd(), join(dir.path, 'programs'), { agent: 'agent/main/index.ts' })
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/me`, selectors: { 'unix:uid': '0' } })
    const socket = join(dir.path, 'run', 'agent.sock')
    const config = {
      agent: { tenant_id: TENANT, node_id: 'counted', data_dir: join(dir.path, 'data'), socket_path: socket },
      icp_service: { address: server.address, trust_bundle_path: server.caPath },
      attestation: { type: 'unix' },
      health: { enabled: false },
    }
    await writeFile(join(dir.path, 'config.yaml'), JSON.stringify(config))
    const environment = { PATH: process.env['PATH'] ?? '' }
    const probe = join(dir.path, 'probe.cjs')
    await writeFile(probe, PROBE)
    const child = spawn(process.execPath, [...PROBE_OPTIONS, probe, agent, '-c', join(dir.path, 'config.yaml')], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: environment,
    })
    const pid = child.pid ?? 0
    try {
      const address = `unix://${socket}`
      using client = WorkloadApiClient.connect({ address })
      const fetches = async (times: number) => {
        for (let i = 0; i < times; i++) await client.fetchX509Svid()
      }
      await eventually(
        () =>
          fetches(1).then(
            () => true,
            () => false,
          ),
        (served) => served,
      )
      // Code that is not compiled yet asks the heap for more.
      await fetches(300)

      expect(await allocatedByCall(child, fetches)).toBeLessThan(HEAP_BYTES_A_CALL * TOLERANCE)

      const WARM = 200
      const warm = await counted(pid, dir.path, () => fetches(WARM))
      const COLD = 5
      const cold = await counted(pid, dir.path, async () => {
        for (let i = 0; i < COLD; i++) {
          const one = spawn(process.execPath, [agent, 'api', 'fetch', 'x509', '--socket', socket], {
            env: environment,
            stdio: 'ignore',
          })
          expect(await new Promise((resolve) => one.once('exit', resolve))).toBe(0)
        }
      })

      // A process is looked at once a call: its state, its program, its ids.
      expect(warm.get('openat')).toBeGreaterThanOrEqual(WARM)
      expectAtMost(warm, WARM, { openat: 1, statx: 1, poll: 1, close: 1, writev: 1, read: 2.6, all: 8 })
      expectAtMost(cold, COLD, { openat: 12, statx: 18, poll: 6.4, readlink: 4, accept4: 2, read: 19, all: 95 })

      const STREAMS = 50
      const stop = new AbortController()
      setMaxListeners(0, stop.signal)
      const seen = Array.from({ length: STREAMS }, () => 0)
      const watching = seen.map(async (_, i) => {
        for await (const context of client.watchX509Svids(stop.signal)) seen[i] = context.svids.length
      })
      const all = (identities: number) => eventually(() => seen.every((svids) => svids === identities), Boolean)
      await all(1)
      const push = await counted(pid, dir.path, async () => {
        await server.createEntry({
          spiffeId: `spiffe://${TENANT}/me-too`,
          selectors: { 'unix:uid': '0', 'unix:gid': '0' },
        })
        await all(2)
      })
      stop.abort()
      await Promise.all(watching)
      // Not once a stream: a process is looked at once for all that is decided in a turn. How long the entry takes to come is
      // up to the next read of entries, so that what goes on meanwhile is not a figure of the push.
      expectAtMost(push, 1, { openat: 12, statx: 18, poll: 12, writev: 12 })
    } finally {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
    }
  })
})
