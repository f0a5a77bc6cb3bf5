import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, statSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import { startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { bundlePrograms } from '../../support/bundle-programs.js'
import { eventually } from '../../support/until.js'
import { listeningDescriptor } from '../support/sockets.js'
import { fetchOnce, served, svidStream, uid } from './support.js'

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let server: DevIcp
let program: string
const children = new Set<ChildProcess>()

beforeAll(async () => {
  dir = await temporaryDirectory()
  server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const programs = { agent: 'agent/main/index.ts' }
  program = (await bundlePrograms(process.cwd(), join(dir.path, 'programs'), programs)).agent
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await server?.[Symbol.asyncDispose]()
  await dir?.[Symbol.asyncDispose]()
})

/** Where one agent lives; its settings beyond that, by section. */
async function home(name: string, more: (directory: string) => Readonly<Record<string, object>> = () => ({})) {
  const directory = join(dir.path, name)
  await mkdir(directory)
  const socketPath = join(directory, 'run', 'agent.sock')
  const config = join(directory, 'config.yaml')
  await writeFile(
    config,
    JSON.stringify({
      agent: { tenant_id: TENANT, node_id: name, data_dir: join(directory, 'data'), socket_path: socketPath },
      icp_service: { address: server.address, trust_bundle_path: server.caPath },
      attestation: { type: 'unix' },
      sync: { interval: '5s' },
      health: { enabled: false },
      ...more(directory),
    }),
  )
  return { socketPath, address: `unix://${socketPath}`, config, directory }
}

/** The agent as a process of its own, run by a shell that says something first. */
function run(config: string, { shell = 'true', fd }: { shell?: string; fd?: number } = {}) {
  const script = `${shell}; exec "$0" "$@"`
  const child = spawn('/bin/sh', ['-c', script, process.execPath, program, '-c', config], {
    stdio: ['ignore', 'pipe', 'pipe', ...(fd === undefined ? [] : [fd])],
    env: { PATH: process.env['PATH'] ?? '' },
  })
  children.add(child)
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk
  })
  const ended = once(child, 'exit').then(([code]) => {
    children.delete(child)
    return code as number | null
  })
  return { child, ended, output: () => output }
}

test('a second agent on the same directory and socket refuses and says why; the first goes on', {
  timeout: 180_000,
}, async () => {
  const { config, address } = await home('twice')
  const first = run(config)
  const { leaf } = await served(address)
  const second = run(config)
  expect(await second.ended).toBe(1)
  expect(second.output()).toContain('agent.already_running')
  expect((await fetchOnce(address)).leaf.serialNumber).toBe(leaf.serialNumber)
  first.child.kill('SIGTERM')
  expect(await first.ended).toBe(0)
})

test('killed and started again it serves the same identity, from a directory with the same inode', {
  timeout: 180_000,
}, async () => {
  const { config, address, socketPath, directory } = await home('killed')
  const first = run(config)
  const { leaf } = await served(address)
  const inode = statSync(join(directory, 'run')).ino
  // What was issued is on disk a moment later; the SVID is the last that is written, under another name first.
  await eventually(
    () => readdir(join(directory, 'data'), { recursive: true }),
    (names) => names.some((name) => /\.svids\/[^/]+\.sealed$/.test(name)),
  )
  first.child.kill('SIGKILL')
  await first.ended
  expect(statSync(socketPath).isSocket()).toBe(true)
  const second = run(config)
  expect((await served(address)).leaf.serialNumber).toBe(leaf.serialNumber)
  expect(statSync(join(directory, 'run')).ino).toBe(inode)
  second.child.kill('SIGTERM')
  expect(await second.ended).toBe(0)
})

test('what the agent keeps for itself above its socket, or beside it, keeps nobody from the socket', {
  timeout: 180_000,
}, async () => {
  const { config, directory } = await home('open', (directory) => ({
    logging: { file_path: join(directory, 'run', 'agent.log') },
    security: { cache_path: join(directory, 'run', 'svid.cache') },
    agent: {
      tenant_id: TENANT,
      node_id: 'open',
      data_dir: join(directory, 'run', 'data'),
      socket_path: join(directory, 'run', 'sockets', 'agent.sock'),
    },
  }))
  const socketPath = join(directory, 'run', 'sockets', 'agent.sock')
  const agent = run(config)
  await served(`unix://${socketPath}`)
  const modeOf = (...names: string[]) => statSync(join(directory, 'run', ...names)).mode & 0o777
  expect([modeOf(), modeOf('sockets'), modeOf('sockets', 'agent.sock')]).toEqual([0o755, 0o755, 0o666])
  expect([modeOf('data'), modeOf('agent.log')]).toEqual([0o700, 0o600])
  agent.child.kill('SIGTERM')
  expect(await agent.ended).toBe(0)
})

test('with a socket that the service manager holds, nobody who connects during a restart is refused', {
  timeout: 180_000,
}, async () => {
  const { config, address, socketPath, directory } = await home('activated')
  await mkdir(join(directory, 'run'))
  const fd = listeningDescriptor(socketPath, 128)
  const activated = { shell: 'export LISTEN_FDS=1 LISTEN_PID=$$', fd }
  const first = run(config, activated)
  await served(address)
  using open = svidStream(address)
  await open.next()
  first.child.kill('SIGTERM')
  expect(await open.ended()).toBe(status.UNAVAILABLE)
  expect(await first.ended).toBe(0)
  // Nobody is there, and nobody notices.
  using waiting = svidStream(address)
  const answer = waiting.next()
  await new Promise((resolve) => setTimeout(resolve, 500))
  const second = run(config, activated)
  expect((await answer).ids).toEqual([`spiffe://${TENANT}/web`])
  second.child.kill('SIGTERM')
  expect(await second.ended).toBe(0)
  expect(statSync(socketPath).isSocket()).toBe(true)
  closeSync(fd)
})

test('without descriptors left it goes on serving who is connected, and others again when there are some', {
  timeout: 180_000,
}, async () => {
  const { config, address, socketPath } = await home('narrow')
  const narrow = run(config, { shell: 'ulimit -n 256' })
  await served(address)
  using stream = svidStream(address)
  const { ids } = await stream.next()
  const flood = Array.from({ length: 60 }, () => {
    const socket = connect(socketPath)
    socket.on('error', () => socket.destroy())
    return socket
  })
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  await server.createEntry({
    spiffeId: `spiffe://${TENANT}/also`,
    selectors: { 'unix:uid': uid, 'unix:gid': String(process.getgid?.()) },
  })
  const more = await stream.until((context) => context.ids.length > ids.length)
  expect(more.ids).toContain(`spiffe://${TENANT}/also`)
  for (const socket of flood) socket.destroy()
  await eventually(
    () => fetchOnce(address).catch(() => null),
    (context) => context !== null,
  )
  narrow.child.kill('SIGTERM')
  expect(await narrow.ended).toBe(0)
})
