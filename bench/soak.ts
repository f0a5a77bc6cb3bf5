import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startServer, TENANT } from '../test/support/agent.js'
import { freePort } from '../test/support/free-port.js'
import { buildLoadgen } from './beside-spire/build.js'
import { machine } from './beside-spire/machine.js'
import { usageOf } from './beside-spire/targets.js'
import { linePlot, type Series } from './line-plot.js'

/**
 * Runs the released agent for hours: workloads with their own identities and open streams, short-lived programs, JWT-SVIDs,
 * rotations of SVIDs and of the authority. Samples and plots its usage.
 */
const { values } = parseArgs({
  options: {
    hours: { type: 'string', default: '2' },
    workloads: { type: 'string', default: '200' },
    executable: { type: 'string' },
    'no-page': { type: 'boolean', default: false },
  },
})
const lengthMs = Number(values.hours) * 3_600_000
const workloads = Number(values.workloads)
/** Renewed at about half of it; the workloads then use two thirds of the agent's request rate. */
const TTL_SECONDS = 1_800
const SAMPLE_MS = 10_000
const CHURN_MS = 2_000
const AUTHORITY_MS = 1_200_000
const FIRST_UID = 31_000
if (process.getuid?.() !== 0) throw new Error('workloads have users of their own: run it as root')

const say = (text: string) => process.stdout.write(`${text}\n`)
const root = process.cwd()
const directory = await mkdtemp(join(tmpdir(), 'icp-soak-'))
await chmod(directory, 0o755)
const children = new Set<ChildProcess>()
const samples: Sample[] = []

interface Sample {
  readonly hours: number
  readonly rssMb: number
  readonly heapMb: number
  readonly descriptors: number
  readonly lagMs: number
  readonly cpuPercent: number
  readonly failed: number
}

const KINDS: readonly { readonly title: string; readonly unit: string; readonly of: (one: Sample) => number }[] = [
  { title: 'resident memory', unit: 'MB', of: ({ rssMb }) => rssMb },
  { title: 'heap in use', unit: 'MB', of: ({ heapMb }) => heapMb },
  { title: 'file descriptors', unit: 'open', of: ({ descriptors }) => descriptors },
  { title: 'delay of the event loop', unit: 'ms', of: ({ lagMs }) => lagMs },
  { title: 'processor', unit: '% of a core', of: ({ cpuPercent }) => cpuPercent },
]

function executable(): string {
  const out = join(tmpdir(), 'icp-agent-beside-spire-packages')
  execFileSync('node', ['scripts/package.mjs', '--out', out, '--arch', process.arch], { stdio: 'ignore' })
  const version = readFileSync(join(out, 'latest'), 'utf8').trim()
  return join(out, version, `icp-agent-${version}-linux-${process.arch}`)
}

function run(program: string, args: readonly string[], uid?: number): ChildProcess {
  const child = spawn(program, [...args], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { GOMAXPROCS: '1' },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

const exitOf = (child: ChildProcess) => new Promise<number | null>((resolve) => child.once('exit', resolve))

try {
  const loadgen = join(directory, 'loadgen')
  copyFileSync(buildLoadgen(root), loadgen)
  chmodSync(loadgen, 0o755)
  await using server = await startServer(join(directory, 'icp'))
  const socket = join(directory, 'run', 'agent.sock')
  const port = await freePort()
  const config = join(directory, 'config.yaml')
  await writeFile(
    config,
    JSON.stringify({
      agent: { tenant_id: TENANT, node_id: 'soak', data_dir: join(directory, 'data'), socket_path: socket },
      icp_service: { address: server.address, trust_bundle_path: server.caPath },
      attestation: { type: 'unix' },
      health: { port, bind_address: '127.0.0.1' },
    }),
  )
  const uidOf = (n: number) => FIRST_UID + n
  for (let n = 0; n < workloads; n++) {
    const selectors = { 'unix:uid': String(uidOf(n)) }
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/soak/${n}`, selectors, ttl: TTL_SECONDS })
  }
  const agent = run(values.executable ?? executable(), ['-c', config])
  const { pid } = agent
  if (pid === undefined) throw new Error('the agent was not started')
  const metrics = async () => await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const figure = (text: string, name: string) =>
    Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, 'm').exec(text)?.[1])

  let failed = 0
  // All at once would wait for minutes, because the agent requests 27 SVIDs a minute.
  const holders = Array.from({ length: workloads }, () => null as ChildProcess | null)
  const began = performance.now()
  const isOver = () => performance.now() - began > lengthMs || agent.exitCode !== null || agent.signalCode !== null
  const churn = async (): Promise<void> => {
    for (let n = 0; !isOver(); n = (n + 1) % workloads) {
      holders[n]?.kill('SIGKILL')
      holders[n] = run(loadgen, ['streams', '-socket', socket, '-streams', '2', '-patience', '10m'], uidOf(n))
      const other = (n * 7) % workloads
      // Each workload with an identity also fetches a token.
      if (performance.now() - began > 900_000) {
        const jwt = run(loadgen, ['jwt', '-socket', socket, '-at-once', '1', '-for', '200ms'], uidOf(other))
        void exitOf(jwt).then((code) => {
          if (code !== 0 && !isOver()) failed++
        })
      }
      await sleep(CHURN_MS)
    }
  }
  const rotate = async (): Promise<void> => {
    for (let next = AUTHORITY_MS; !isOver(); await sleep(1_000)) {
      if (performance.now() - began < next) continue
      await server.rotateCa()
      next += AUTHORITY_MS
    }
  }
  const sample = async (): Promise<void> => {
    let before = usageOf(pid).cpuSeconds
    for (let at = performance.now(); !isOver(); ) {
      await sleep(SAMPLE_MS)
      if (isOver()) return
      const text = await metrics()
      const usage = usageOf(pid)
      const now = performance.now()
      const heapMb = figure(text, 'nodejs_heap_size_used_bytes') / 1e6
      const lagMs = figure(text, 'nodejs_eventloop_lag_seconds') * 1e3
      // Node measures its heap at the first scrape and reports it at the next.
      if (!Number.isFinite(heapMb) || !Number.isFinite(lagMs)) continue
      samples.push({
        hours: (now - began) / 3_600_000,
        rssMb: usage.rssBytes / 1e6,
        heapMb,
        descriptors: readdirSync(`/proc/${pid}/fd`).length,
        lagMs,
        cpuPercent: (100_000 * (usage.cpuSeconds - before)) / (now - at),
        failed,
      })
      before = usage.cpuSeconds
      at = now
      if (samples.length % 30 === 0) say(JSON.stringify(samples.at(-1)))
    }
  }
  await Promise.all([churn(), rotate(), sample()])
  if (agent.exitCode !== null || agent.signalCode !== null) throw new Error('the agent ended')
  report(failed)
} finally {
  const gone = [...children].map(exitOf)
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(gone)
  await rm(directory, { recursive: true })
}

function report(failed: number): void {
  const hour = samples.length > 0 ? (samples.at(-1)?.hours ?? 0) : 0
  const settled = samples.filter(({ hours }) => hours > hour / 4)
  const half = settled.length >> 1
  const mean = (of: (s: Sample) => number, among: readonly Sample[]) =>
    among.reduce((sum, one) => sum + of(one), 0) / among.length
  const rows = KINDS.map(({ title, of, unit }) => {
    const [first, second] = [mean(of, settled.slice(0, half)), mean(of, settled.slice(half))]
    const most = samples.reduce((top, one) => Math.max(top, of(one)), 0)
    return `| ${title}, ${unit} | ${first.toFixed(1)} | ${second.toFixed(1)} | ${most.toFixed(1)} |`
  })
  const text = [
    `${machine()}.`,
    '',
    `${hour.toFixed(2)} hours, ${workloads} workloads, each with its own user and identity and two streams. Every ` +
      `${CHURN_MS / 1000} s one is replaced and another fetches a burst of JWT-SVIDs. SVIDs live ${TTL_SECONDS / 60} minutes, authorities ` +
      `${AUTHORITY_MS / 60_000} minutes. ${failed} bursts of JWT-SVIDs failed. The two halves leave out the first quarter, in which ` +
      `identities are issued.`,
    '',
    '| | first half | second half | highest |',
    '|---|---|---|---|',
    ...rows,
    '',
    '![memory, descriptors, event loop and processor over time](benchmarks/soak.svg)',
  ].join('\n')
  say(text)
  if (values['no-page']) return
  mkdirSync(join(root, 'docs', 'benchmarks'), { recursive: true })
  const series: Series[] = KINDS.map(({ title, of, unit }) => ({
    title: `${title}, ${unit}`,
    points: samples.map((one) => [one.hours, of(one)] as const),
  }))
  writeFileSync(join(root, 'docs', 'benchmarks', 'soak.svg'), linePlot(series, 'hours'))
  const page = join(root, 'docs/benchmarks.md')
  const parts = readFileSync(page, 'utf8').split(/(<!-- soak: [^>]*-->\n|<!-- end of soak -->)/)
  if (parts.length !== 5) throw new Error('docs/benchmarks.md has no place for the soak')
  parts[2] = `\n${text}\n\n`
  writeFileSync(page, parts.join(''))
}
