import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { attest } from '../agent/attestation/attest.js'
import { type Caller, callerOf } from '../agent/attestation/caller.js'
import { callerEvents } from '../agent/observability/caller-events.js'
import { engineEvents } from '../agent/observability/engine-events.js'
import { fileEvents } from '../agent/observability/file-events.js'
import { Disk } from '../agent/platform/disk.js'
import { createLinuxKernel } from '../agent/platform/linux-kernel.js'
import { SystemClock } from '../agent/platform/system-clock.js'
import { systemRandom } from '../agent/platform/system-random.js'
import { createHttpClient } from '../agent/platform/undici-http.js'
import { readVersioned } from '../agent/platform/versioned-file.js'
import { stillItself } from '../agent/workload-api/still-itself.js'
import { dockerWorkloads } from '../attestors/docker/create.js'
import { containerOf } from '../attestors/shared/cgroup.js'
import { Accounts } from '../attestors/unix/accounts.js'
import { ExecutableDigests } from '../attestors/unix/executable.js'
import { UnixWorkloadAttestor } from '../attestors/unix/workload.js'
import { RecordedSinks } from '../test/fakes/sinks.js'
import { OwnGroups } from '../test/support/cgroups.js'

/**
 * Measures the attestation of a process in a container: a real process in a real control group with the name of a Docker
 * container, the real kernel, and a fake engine on a real socket. Needs root to create the group.
 */
const CALLS = 20_000
const CONTAINERS = 50
const ID = 'a5'.repeat(32)

const directory = mkdtempSync(join(tmpdir(), 'icp-bench-'))
const figures: Record<string, string> = {}

/** The client: connects and stays connected. */
function call(path: string): void {
  const socket = createConnection(path)
  process.on('disconnect', () => socket.destroy())
}

/** An engine that knows any container, whose first process is always the same. */
async function engine(path: string, pid: number): Promise<HttpServer> {
  const server = createHttpServer((request, response) => {
    const id = /^\/containers\/([0-9a-f]+)\/json$/.exec(request.url ?? '')?.[1]
    response.writeHead(200, { 'content-type': 'application/json' })
    if (id === undefined) response.flushHeaders()
    else response.end(JSON.stringify(described(id, pid)))
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return server
}

const described = (id: string, pid: number) => ({
  Id: id,
  Name: '/shop-web-1',
  Image: `sha256:${'c7'.repeat(32)}`,
  Config: {
    Image: 'registry.example/web:1.2',
    Env: Array.from({ length: 40 }, (_, i) => `SETTING_${i}=${'x'.repeat(60)}`),
    Labels: Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`com.docker.compose.label-${i}`, `value ${i}`])),
  },
  State: { Running: true, Pid: pid, Status: 'running', StartedAt: '2026-01-01T00:00:00Z' },
})

async function caller(kernel: ReturnType<typeof createLinuxKernel>): Promise<{ caller: Caller; child: ChildProcess }> {
  const path = join(directory, 'agent.sock')
  const server = createServer({ pauseOnConnect: true })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const child = fork(fileURLToPath(import.meta.url), ['call', path])
  const socket = await new Promise<Socket>((resolve) => server.once('connection', resolve))
  const handle: unknown = Reflect.get(socket, '_handle')
  const fd: unknown = typeof handle === 'object' && handle !== null && 'fd' in handle ? handle.fd : null
  if (typeof fd !== 'number') throw new Error('this Node hides descriptors')
  server.close()
  socket.unref()
  return { caller: callerOf(kernel.peerOf(fd)), child }
}

function times(samples: number[]): string {
  samples.sort((a, b) => a - b)
  const at = (p: number) => `${((samples[Math.floor(samples.length * p)] ?? 0) * 1000).toFixed(0)} µs`
  return [0.5, 0.99, 0.999].map(at).join(', ')
}

async function sample(count: number, work: () => unknown): Promise<string> {
  const samples: number[] = []
  for (let i = 0; i < count; i++) {
    const began = performance.now()
    await work()
    samples.push(performance.now() - began)
    // As in the agent, the event loop runs in between.
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  return times(samples)
}

async function measure(): Promise<void> {
  using kernel = createLinuxKernel()
  await using http = createHttpClient({ roots: () => [] })
  await using groups = new OwnGroups()
  const { caller: who, child } = await caller(kernel)
  groups.move(who.pid, 'self', join('docker', ID))
  const socketPath = join(directory, 'engine.sock')
  const server = await engine(socketPath, who.pid)

  const clock = new SystemClock()
  const files = new Disk()
  const events = callerEvents(new RecordedSinks(), clock)
  const options = { http, files, kernel, clock, random: systemRandom, socketPath, tenantId: 't', authsecLabels: true }
  const docker = dockerWorkloads({
    ...options,
    imageLabels: 'separate',
    events: engineEvents(new RecordedSinks(), clock),
  })
  using digests = new ExecutableDigests({ clock, events, maxBytes: 512 * 1024 * 1024 })
  const accounts = new Accounts({
    read: readVersioned,
    clock,
    fileEvents: fileEvents(new RecordedSinks().log, clock),
    root: kernel.host.root,
  })
  const unix = new UnixWorkloadAttestor({
    kernel,
    accounts,
    digests,
    digestWanted: () => true,
    forgeable: false,
  })
  const stop = new AbortController()
  const running = docker.run(stop.signal)
  const { signal } = new AbortController()

  const { selectors } = await docker.attestor.attest(who, signal)
  if (selectors.get('docker:container-id') !== ID) throw new Error('the container is not attested')

  const text = who.process.read('cgroup')
  figures[`control group to container (${text.split('\n').length - 1} hierarchies)`] = await sample(CALLS, () =>
    containerOf(text, kernel.ownCgroup),
  )
  figures['docker attestor, container known'] = await sample(CALLS, () => docker.attestor.attest(who, signal))
  const context = { attestors: [unix, docker.attestor], clock, events, deadlineMs: 3_000 }
  figures['unix and docker, with the checks around them'] = await sample(CALLS, async () => {
    if (stillItself(who)) throw new Error('the process changed')
    await attest(context, who, new Map(), new AbortController())
    if (stillItself(who)) throw new Error('the process changed')
  })

  const stranger = (n: number): Caller => {
    const id = n.toString(16).padStart(64, '0')
    const process = Object.create(who.process, { read: { value: () => text.replaceAll(ID, id) } }) as Caller['process']
    return { ...who, process }
  }
  let n = 0
  figures['docker attestor, container unknown: one request'] = await sample(500, () =>
    docker.attestor.attest(stranger(++n), signal),
  )
  const together = performance.now()
  const all = Array.from({ length: CONTAINERS }, () => stranger(++n))
  await Promise.all(all.map((each) => docker.attestor.attest(each, new AbortController().signal)))
  figures[`${CONTAINERS} unknown containers at once`] = `${(performance.now() - together).toFixed(0)} ms`

  stop.abort()
  await running
  docker[Symbol.dispose]()
  server.closeAllConnections()
  server.close()
  child.kill('SIGKILL')
  for (const [what, figure] of Object.entries(figures)) process.stdout.write(`${what.padEnd(52)} ${figure}\n`)
}

if (process.argv[2] === 'call') call(process.argv[3] ?? '')
else await measure().finally(() => rmSync(directory, { recursive: true, force: true }))
