import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { bundlePrograms } from '../support/bundle-programs.js'
import { childOf } from '../support/child-of.js'
import { pathOf } from '../support/docker-engine.js'

const WEB = 'spiffe://acme.example/web'
const ROOT = process.getuid?.() === 0

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let server: DevIcp
let agent: RunningAgent
let program: string
const children = new Set<ChildProcess>()

beforeAll(async () => {
  dir = await temporaryDirectory()
  chmodSync(dir.path, 0o755)
  program = (await bundlePrograms(process.cwd(), join(dir.path, 'programs'), { agent: 'agent/main/index.ts' })).agent
  server = await startServer(join(dir.path, 'icp'), { workloadTrustDomain: 'acme.example', svidTtlSeconds: 12 })
  await server.createEntry({ spiffeId: WEB, selectors: { 'unix:uid': String(process.getuid?.()) } })
  agent = await startAgent({ dir: dir.path, server })
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await agent?.stop()
  await server?.[Symbol.asyncDispose]()
  await dir?.[Symbol.asyncDispose]()
})

interface Options {
  readonly before?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly options?: readonly string[]
}

function exec(command: readonly string[], { before = [], env = {}, options = [] }: Options = {}) {
  const own = [process.execPath, program, 'exec', '--socket', agent.address, ...options, '--', ...command]
  const [file = '', ...args] = [...before, ...own]
  // The directory is looked into: nobody else makes one in there.
  const runtime = { PATH: process.env['PATH'] ?? '', XDG_RUNTIME_DIR: '/dev/shm', ...env }
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: runtime })
  children.add(child)
  let [output, errors] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk
  })
  const ended = once(child, 'close').then(([code, signal]) => {
    children.delete(child)
    return { code: (signal ?? code) as number | string, output, errors }
  })
  const said = (text: string) => expect.poll(() => output, { interval: 20 }).toContain(text)
  return { child, ended, said, output: () => output }
}
const sh = (script: string, options: Options = {}) => exec(['sh', '-c', script], options)
const LOOP = 'echo ready; while :; do sleep 0.05; done'

test('the program has its identity as files and in its environment, and they are gone when it is', async () => {
  const script = 'cat $SVID_CERT_FILE $SVID_BUNDLE_FILE >/dev/null && stat -c %a $SVID_DIR $SVID_KEY_FILE/; env'
  const { code, output } = await sh(script.replace('KEY_FILE/', 'KEY_FILE')).ended
  expect(code).toBe(0)
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(output)?.[1] ?? ''
  expect(output).toMatch(/^700$/m)
  expect(value('SVID_SPIFFE_ID')).toBe(WEB)
  expect(value('SPIFFE_ENDPOINT_SOCKET')).toBe(agent.address)
  expect(value('SVID_KEY_FILE')).toBe(join(value('SVID_DIR'), 'svid_key.pem'))
  await expect(readdir(value('SVID_DIR'))).rejects.toMatchObject({ code: 'ENOENT' })
})

describe('the exit code', () => {
  test.each([
    ['exit 7', 7],
    ['kill -9 $$', 137],
    ['kill -TERM $$', 143],
  ])('of a program that does %j is %d', async (script, code) => {
    expect(await sh(script).ended).toMatchObject({ code })
  })

  test('is 127 for a program that there is not, and 126 for one that cannot be run', async () => {
    expect(await exec(['no-such-program']).ended).toMatchObject({ code: 127 })
    expect(await exec(['/etc/passwd']).ended).toMatchObject({ code: 126 })
  })

  test('is 2 without a command, 1 where no identity comes', async () => {
    const options = ['--wait', '1s', '--id', 'spiffe://acme.example/none']
    expect(await exec(['true'], { options }).ended).toMatchObject({ code: 1 })
    const child = spawn(process.execPath, [program, 'exec', '--socket', agent.address], { stdio: 'ignore' })
    expect(await once(child, 'exit')).toEqual([2, null])
  })

  test('is 128 and the signal where one comes before the program', async () => {
    const running = exec(['true'], { options: ['--id', 'spiffe://acme.example/none'] })
    await expect.poll(() => running.child.stderr?.listenerCount('data')).toBeGreaterThan(0)
    await new Promise((resolve) => running.child.stderr?.once('data', resolve))
    running.child.kill('SIGTERM')
    expect(await running.ended).toMatchObject({ code: 143 })
  })
})

test('signals are passed on, once each', async () => {
  const names = ['HUP', 'INT', 'QUIT', 'USR1', 'USR2', 'ALRM', 'TERM']
  const traps = names.map((name) => `trap "echo got-${name}" ${name};`).join(' ')
  const running = sh(`${traps} trap "exit 9" PWR; ${LOOP}`)
  await running.said('ready')
  for (const name of names) {
    running.child.kill(`SIG${name}` as NodeJS.Signals)
    await running.said(`got-${name}`)
  }
  running.child.kill('SIGPWR')
  const { code, output } = await running.ended
  expect(code).toBe(9)
  for (const name of names) expect(output.match(new RegExp(`got-${name}\n`, 'g'))).toHaveLength(1)
})

test('a signal to the whole group of processes reaches the program once', async () => {
  const running = sh(`trap "echo got" TERM; trap "exit 9" PWR; ${LOOP}`, { before: ['setsid', '--wait'] })
  await running.said('ready')
  const own = await childOf(running.child.pid ?? 0)
  process.kill(-own, 'SIGTERM')
  await running.said('got')
  process.kill(own, 'SIGPWR')
  expect((await running.ended).output.match(/got\n/g)).toHaveLength(1)
})

describe('on rotation', () => {
  test('the program gets a signal when the files have changed', async () => {
    const script = `before=$(cat $SVID_CERT_FILE); trap '[ "$before" != "$(cat $SVID_CERT_FILE)" ] && exit 4; exit 5' HUP; ${LOOP}`
    expect(await sh(script, { options: ['--on-rotation', 'HUP'] }).ended).toMatchObject({ code: 4 })
  })

  test('the program is started again, and killed where it does not stop', async () => {
    const counter = join(dir.path, 'starts')
    await writeFile(counter, '')
    const script = `echo >> ${counter}; [ $(wc -l < ${counter}) = 2 ] && exit 6; trap "" TERM; ${LOOP}`
    const options = ['--on-rotation', 'restart', '--stop-timeout', '1s']
    expect(await sh(script, { options }).ended).toMatchObject({ code: 6 })
  })
})

test('variables that would weaken the agent are for the program, and in effect there', async () => {
  const env = { NODE_OPTIONS: '--require /no-such-file', SSLKEYLOGFILE: '/dev/null' }
  const { code, output, errors } = await sh('echo "[$NODE_OPTIONS][$SSLKEYLOGFILE]"; env', { env }).ended
  // The program of the test is bare Node, which heeds NODE_OPTIONS before the first line of ours.
  if (code === 0) expect(output).toContain('[--require /no-such-file][/dev/null]')
  else expect(errors).toContain('/no-such-file')
  const kept = await sh('echo "[$SSLKEYLOGFILE]"; env', { env: { SSLKEYLOGFILE: '/dev/null' } }).ended
  expect(kept.output).toContain('[/dev/null]')
  expect(kept.output).not.toContain('ICP_AGENT_WITH')
})

describe.skipIf(!ROOT)('as PID 1', () => {
  const before = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']

  test('it reaps orphans, and their end is never taken for the program’s', async () => {
    const orphans = '(sleep 0.1 & sleep 0.2 &) ; for i in 1 2 3 4 5; do (sh -c "exit 3" &); done; sleep 1;'
    const script = `${orphans} cat /proc/[0-9]*/stat | grep -c " Z " ; exit 11`
    expect(await sh(script, { before }).ended).toMatchObject({ code: 11, output: '0\n' })
  })

  test('it heeds signals, which PID 1 does only where it handles them', async () => {
    const running = sh(`trap "echo got" USR1; trap "exit 12" TERM; ${LOOP}`, { before })
    await running.said('ready')
    const own = await childOf(running.child.pid ?? 0)
    process.kill(own, 'SIGUSR1')
    await running.said('got')
    process.kill(own, 'SIGTERM')
    expect(await running.ended).toMatchObject({ code: 12 })
  })
})

const SCRIPT = pathOf('script')
describe.skipIf(SCRIPT === null)('on a terminal', () => {
  /** `script` makes one, and what is written to its input is typed there. */
  function typed(command: string) {
    const own = `exec ${process.execPath} ${program} exec --socket ${agent.address} -- ${command}`
    const child = spawn('script', ['-qefc', own, '/dev/null'], { stdio: ['pipe', 'pipe', 'pipe'] })
    children.add(child)
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
    })
    const said = (text: string) => expect.poll(() => output, { interval: 20 }).toContain(text)
    const ended = once(child, 'close').then(([code]) => ({ code: code as number, output }))
    return { type: (text: string) => child.stdin.write(text), said, ended }
  }

  test('Ctrl-C reaches the program once', async () => {
    const { type, said, ended } = typed(`sh -c 'trap "echo got-it" INT; ${LOOP}'`)
    await said('ready')
    type('\x03')
    await said('got-it')
    // Whatever else was to come had come before this.
    type('\x1c')
    const { output } = await ended
    expect(output.match(/got-it/g)).toHaveLength(1)
  })

  test('the program reads what is typed', async () => {
    const { type, said, ended } = typed(`sh -c 'echo ready; read x; echo "got:$x"; exit 3'`)
    await said('ready')
    type('word\n')
    expect(await ended).toMatchObject({ code: 3, output: expect.stringContaining('got:word') })
  })

  test('Ctrl-Z does not hang it where nobody could let it go on', async () => {
    const { type, said, ended } = typed(`sh -c 'echo ready; read x; echo "got:$x"; exit 3'`)
    await said('ready')
    type('\x1a')
    type('word\n')
    expect(await ended).toMatchObject({ code: 3 })
  })
})

test('what a killed one has left in memory is removed by the next one', async () => {
  const running = sh(`echo $SVID_DIR; ${LOOP}`)
  await running.said('ready')
  const left = running.output().split('\n')[0] ?? ''
  const own = await childOf(running.child.pid ?? 0)
  running.child.kill('SIGKILL')
  await once(running.child, 'exit')
  process.kill(own, 'SIGKILL')
  expect(await readdir(left)).toContain('svid_key.pem')
  expect(await sh('true').ended).toMatchObject({ code: 0 })
  await expect(readdir(left)).rejects.toMatchObject({ code: 'ENOENT' })
})
