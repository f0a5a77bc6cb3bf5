import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer, TENANT } from '../test/support/agent.js'
import { bundlePrograms } from '../test/support/bundle-programs.js'
import { freePort } from '../test/support/free-port.js'
import type { Order, Reply, Usage, UsageQuestion } from './agent/messages.js'

/**
 * Measures a complete agent in a process of its own, with its real socket, the embedded ICP server, and processes with many
 * clients. As root each client process has its own user, otherwise all have one.
 */
const ENTRIES = 500
const PROCESSES = 20
const CONNECTIONS = 10
const ROUNDS = 500
const IDLE_MS = 60_000
const FIRST_UID = 20_000

const isRoot = process.getuid?.() === 0
const uids = Array.from({ length: PROCESSES }, (_, n) => (isRoot ? FIRST_UID + n : (process.getuid?.() ?? 0)))
const children: ChildProcess[] = []

function tell(what: string, figure: string): void {
  process.stdout.write(`${what.padEnd(72)} ${figure}\n`)
}

function spread(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (part: number) => (sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0).toFixed(1)
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms`
}

function run(program: string, options: { nodeArguments?: string[]; arguments?: string[]; uid?: number }): ChildProcess {
  const { nodeArguments = [], uid } = options
  const child = spawn(process.execPath, [...nodeArguments, program, ...(options.arguments ?? [])], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: process.env['PATH'] ?? '' },
    cwd: '/',
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  children.push(child)
  return child
}

/** The same, but rejects if the process ends first. */
async function meanwhile<T>(child: ChildProcess, work: Promise<T>): Promise<T> {
  const over = new AbortController()
  const ended = once(child, 'exit', { signal: over.signal }).then(([code]) => {
    throw new Error(`a process ended with ${code}`)
  })
  try {
    return await Promise.race([work, ended])
  } finally {
    ended.catch(() => undefined)
    over.abort()
  }
}

async function ask<Answer>(child: ChildProcess, question: object): Promise<Answer> {
  const answer = once(child, 'message')
  child.send(question)
  const [message] = await meanwhile(child, answer)
  return message as Answer
}

async function order(child: ChildProcess, what: Order): Promise<readonly number[]> {
  return (await ask<Reply>(child, what)).times
}

async function ready(port: number): Promise<void> {
  for (;;) {
    const status = await fetch(`http://127.0.0.1:${port}/ready`).then(
      (response) => response.status,
      () => 0,
    )
    if (status === 200) return
    await sleep(5)
  }
}

const directory = await mkdtemp(join(tmpdir(), 'icp-bench-'))
try {
  await chmod(directory, 0o755)
  const programs = await bundlePrograms(process.cwd(), join(directory, 'programs'), {
    agent: 'agent/main/index.ts',
    usage: 'bench/agent/usage.ts',
    clients: 'bench/agent/clients.ts',
  })
  await using server = await startServer(join(directory, 'icp'))
  const mine = uids.filter((uid, n) => uids.indexOf(uid) === n)
  for (let n = 0; n < ENTRIES; n++) {
    const uid = mine[n] ?? 30_000 + n
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/w/${n}`, selectors: { 'unix:uid': String(uid) } })
  }
  const port = await freePort()
  const socketPath = join(directory, 'run', 'agent.sock')
  const config = join(directory, 'config.yaml')
  const settings = {
    agent: { tenant_id: TENANT, node_id: 'bench', data_dir: join(directory, 'data'), socket_path: socketPath },
    icp_service: { address: server.address, trust_bundle_path: server.caPath },
    attestation: { type: 'unix' },
    sync: { bundle_interval: '60s' },
    // Generating keys and CSRs of all identities at once takes a while on a small machine.
    // Without rate limits: each process does in seconds what others do in days.
    workload_api: { hold: '30s', limits: { connection_burst: 1_000_000, call_burst: 1_000_000 } },
    health: { port, bind_address: '127.0.0.1' },
  }
  await writeFile(config, JSON.stringify(settings))

  const began = performance.now()
  const agent = run(programs.agent, {
    nodeArguments: ['--expose-gc', '--import', programs.usage],
    arguments: ['-c', config],
  })
  const use = (question: UsageQuestion = { watch: false }) => ask<Usage>(agent, question)
  await meanwhile(agent, ready(port))
  tell('from start to ready, the node attested and the entries known', `${(performance.now() - began).toFixed(0)} ms`)

  const clients = uids.map((uid) => run(programs.clients, { arguments: [socketPath], ...(isRoot ? { uid } : {}) }))
  const firsts = await Promise.all(clients.map((client) => order(client, { kind: 'rounds', times: 1, fresh: true })))
  tell(`first SVIDs of ${mine.length} identities at once, keys and CSRs included`, spread(firsts.flat()))

  const [one] = clients
  if (!one) throw new TypeError('there is no client')
  await order(one, { kind: 'rounds', times: ROUNDS, fresh: true })
  await use()
  const fresh = await order(one, { kind: 'rounds', times: ROUNDS, fresh: true })
  const { cpuMs } = await use()
  tell('an SVID on a new connection, attestation included', spread(fresh))
  tell('  processor time of the agent for each', `${(cpuMs / ROUNDS).toFixed(2)} ms`)
  tell(
    'an SVID on a connection that is open',
    spread(await order(one, { kind: 'rounds', times: ROUNDS, fresh: false })),
  )

  await use()
  const connections = PROCESSES * CONNECTIONS
  const held = await Promise.all(clients.map((client) => order(client, { kind: 'hold', connections: CONNECTIONS })))
  const opened = await use()
  tell(`${connections} connections at once with ${connections * 2} streams, to the first messages`, spread(held.flat()))
  tell('  memory with them: heap, resident', `${opened.heapMib.toFixed(1)} MiB, ${opened.rssMib.toFixed(0)} MiB`)

  await sleep(5_000)
  await use()
  await sleep(IDLE_MS)
  const idle = await use({ watch: true })
  await sleep(IDLE_MS)
  const { p50, p99, max } = (await use({ watch: true })).delayMs
  tell('  nothing changing for a minute: processor', `${((100 * idle.cpuMs) / idle.elapsedMs).toFixed(2)} % of a core`)
  tell('  delay of the event loop', `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, most ${max.toFixed(1)} ms`)

  const pushes = Promise.all(clients.map((client) => order(client, { kind: 'pushed' })))
  // A push to all streams: the authority is published before anything is issued by it.
  server.setFault({ kind: 'bundle-served' })
  await server.rotateCa()
  const times = (await pushes).flat().sort((a, b) => a - b)
  const took = (times.at(-1) ?? 0) - (times[0] ?? 0)
  const rotated = await use()
  tell('a new authority, from the first stream that has it to the last', `${took.toFixed(0)} ms`)
  tell('  delay of the event loop meanwhile, most', `${rotated.delayMs.max.toFixed(1)} ms`)
} finally {
  for (const child of children) child.kill('SIGKILL')
  await rm(directory, { recursive: true })
}
