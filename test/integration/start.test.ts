import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TENANT, temporaryDirectory } from '../support/agent.js'
import { bundlePrograms } from '../support/bundle-programs.js'

// The agent as a process of its own, against a server that does not exist: it starts and keeps trying.
let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let program: string
const children = new Set<ChildProcess>()

beforeAll(async () => {
  dir = await temporaryDirectory()
  program = (await bundlePrograms(process.cwd(), join(dir.path, 'programs'), { agent: 'agent/main/index.ts' })).agent
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await dir?.[Symbol.asyncDispose]()
})

function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  nodeOptions: readonly string[] = [],
  before: readonly string[] = [],
) {
  const [command = '', ...rest] = [...before, process.execPath, ...nodeOptions, program, ...args]
  const child = spawn(command, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', ...env },
  })
  children.add(child)
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk
  })
  const ended = once(child, 'exit').then(([code, signal]) => {
    children.delete(child)
    return (signal ?? code) as string | number
  })
  const lines = () =>
    output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
  return {
    child,
    ended,
    lines,
    output: () => output,
    errors: () => errors,
    logged: (event: string, like: (line: Readonly<Record<string, unknown>>) => boolean = () => true) =>
      expect.poll(() => lines().some((line) => line['event'] === event && like(line)), { timeout: 60_000 }).toBe(true),
  }
}

function agent(
  name: string,
  env: Readonly<Record<string, string>> = {},
  nodeOptions: readonly string[] = [],
  before: readonly string[] = [],
) {
  const home = join(dir.path, name)
  mkdirSync(home)
  const config = join(home, 'config.yaml')
  const logFile = join(home, 'log', 'agent.log')
  writeFileSync(
    config,
    JSON.stringify({
      agent: {
        tenant_id: TENANT,
        node_id: name,
        data_dir: join(home, 'data'),
        socket_path: join(home, 'run', 'agent.sock'),
      },
      icp_service: { address: 'https://127.0.0.1:9' },
      attestation: { type: 'unix' },
      health: { enabled: false },
      logging: { file_path: logFile },
    }),
  )
  return { ...start(['-c', config], env, nodeOptions, before), logFile }
}

/** Ports of loopback and others that the process listens on; the agent of these tests has none. */
function listening(pid: number | undefined): number {
  const listed = ['tcp', 'tcp6'].map((name) => readFileSync(`/proc/${pid}/net/${name}`, 'utf8')).join('\n')
  // Node's debugger: 127.0.0.1:9229, state LISTEN.
  return listed.split('\n').filter((line) => /0100007F:240D .* 0A /.test(line)).length
}

describe('the agent', () => {
  it('ends at no signal that asks for something else, opens no debugger, and reopens its log', {
    timeout: 180_000,
  }, async () => {
    const a = agent('signals')
    await a.logged('gRPC Workload API Server started')
    const reopened = async (signal: NodeJS.Signals) => {
      renameSync(a.logFile, `${a.logFile}.${signal}`)
      a.child.kill(signal)
      await expect.poll(() => existsSync(a.logFile), { timeout: 30_000 }).toBe(true)
    }
    for (const name of ['SIGUSR1', 'SIGHUP', 'SIGUSR2'] as const) {
      await reopened(name)
      await a.logged('Log reopened', ({ signal }) => signal === name)
    }
    await a.logged('Configuration reloaded')
    for (const signal of [
      'SIGALRM',
      'SIGVTALRM',
      'SIGPROF',
      'SIGIO',
      'SIGPWR',
      'SIGSTKFLT',
      'SIGXCPU',
      'SIGXFSZ',
    ] as const) {
      a.child.kill(signal)
      await a.logged('Ignoring a signal that the agent does not handle', (line) => line['signal'] === signal)
    }
    a.child.kill('SIGPIPE')
    // Real-time signals have no names in Node.
    for (const number of [34, 36, 50, 64]) spawn('/bin/sh', ['-c', `kill -${number} ${a.child.pid}`])
    await reopened('SIGUSR2')
    expect(listening(a.child.pid)).toBe(0)
    expect(a.errors()).toBe('')
    a.child.kill('SIGQUIT')
    expect(await a.ended).toBe(0)
    await a.logged('Agent stopped')
  })

  it('ends by no such signal from its first module to its last', { timeout: 180_000 }, async () => {
    const rest = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGPWR', 'SIGXFSZ']
    const preload = join(dir.path, 'signals.cjs')
    writeFileSync(
      preload,
      `const all = () => { for (const signal of ${JSON.stringify(rest)}) process.kill(process.pid, signal) }
      process.on('newListener', (name) => name === 'SIGUSR1' && queueMicrotask(all))
      process.once('exit', all)`,
    )
    const a = agent('early-signals', {}, ['--require', preload])
    await a.logged('gRPC Workload API Server started')
    a.child.kill('SIGTERM')
    expect(await a.ended).toBe(0)
    expect(a.errors()).toBe('')
  })

  it('stops though the reader of its log is stuck', { timeout: 180_000 }, async () => {
    // A pipe that is full already, and that nobody reads.
    const stuck = 'mkfifo stuck; exec 3<>stuck; head -c 65536 /dev/zero >&3; exec "$@" >&3'
    const a = agent('stuck-log', {}, [], ['/bin/sh', '-c', `cd "$0"; ${stuck}`, dir.path])
    await expect
      .poll(() => existsSync(a.logFile) && readFileSync(a.logFile, 'utf8'), { timeout: 60_000 })
      .toContain('gRPC Workload API Server started')
    a.child.kill('SIGTERM')
    expect(await a.ended).toBe(0)
    expect(readFileSync(a.logFile, 'utf8')).toContain('Agent stopped')
  })

  it('listens for itself where a variable makes it part of a cluster', { timeout: 180_000 }, async () => {
    const a = agent('cluster', { NODE_UNIQUE_ID: '1' })
    await a.logged('gRPC Workload API Server started')
    await a.logged('Ignoring environment variables that would weaken the agent', ({ variables }) =>
      isDeepStrictEqual(variables, ['NODE_UNIQUE_ID']),
    )
    a.child.kill('SIGTERM')
    expect(await a.ended).toBe(0)
  })

  it('runs without the variables that weaken it, as the same process, and says so once', {
    timeout: 180_000,
  }, async () => {
    writeFileSync(join(dir.path, 'preload.cjs'), 'globalThis.preloaded = true; process.title = "preloaded"')
    const a = agent('weakened', {
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_OPTIONS: `--require=${join(dir.path, 'preload.cjs')} --max-old-space-size=300 --tls-min-v1.0`,
      OPENSSL_CONF: '/nowhere',
      LOG_TOKENS: '1',
      NODE_DEBUG: 'tls',
      NODE_EXTRA_CA_CERTS: '/nowhere',
    })
    await a.logged('gRPC Workload API Server started')
    const names = readFileSync(`/proc/${a.child.pid}/environ`, 'latin1').split('\0').filter(Boolean)
    expect(names.map((name) => name.split('=')[0]).sort()).toEqual(
      ['ICP_AGENT_WITHOUT', 'NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS', 'PATH'].sort(),
    )
    expect(names).toContain('NODE_OPTIONS=--max-old-space-size=300')
    const warnings = a.lines().filter(({ event }) => String(event).startsWith('Ignoring environment variables'))
    expect(warnings).toMatchObject([
      {
        level: 'warning',
        variables: [
          'NODE_TLS_REJECT_UNAUTHORIZED',
          'NODE_DEBUG',
          'OPENSSL_CONF',
          'LOG_TOKENS',
          'NODE_OPTIONS (--require, --tls-min-v1.0)',
        ],
      },
    ])
    a.child.kill('SIGTERM')
    expect(await a.ended).toBe(0)
  })

  it('keeps the socket that systemd holds when variables weaken it', { timeout: 60_000 }, async () => {
    const shell = 'exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'
    const look = 'const fs=require("fs");fs.existsSync("/proc/self/fd/3")&&fs.writeSync(1,"held\\n")'
    writeFileSync(join(dir.path, 'look.cjs'), look)
    const child = spawn(
      '/bin/sh',
      ['-c', shell, process.execPath, '--require', join(dir.path, 'look.cjs'), program, 'version'],
      {
        env: { PATH: process.env['PATH'] ?? '', NODE_DEBUG: 'none' },
      },
    )
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
    })
    expect(await once(child, 'exit')).toEqual([0, null])
    // Looked at once in each of the two.
    expect(output).toMatch(/^held\nheld\nicp-agent /)
  })
})

describe('with a debugger that is open at the start', () => {
  it.each<[string, readonly string[], Record<string, string>, RegExp]>([
    ['by NODE_OPTIONS', [], { NODE_OPTIONS: '--inspect=127.0.0.1:0' }, /^error the variable NODE_OPTIONS opens/m],
    ['by an option', ['--inspect=127.0.0.1:0'], {}, /^error Node's option --inspect opens/m],
  ])('%s every command ends with 2 and says what opened it', { timeout: 60_000 }, async (_how, options, env, said) => {
    const child = spawn(process.execPath, [...options, program, 'version'], {
      env: { PATH: process.env['PATH'] ?? '', ...env },
    })
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk
    })
    expect(await once(child, 'exit')).toEqual([2, null])
    expect(errors).toMatch(said)
    expect(output).toBe('')
  })
})

it('a command says which variables are without effect, and does its work', { timeout: 60_000 }, async () => {
  const version = start(['version'], { NODE_OPTIONS: '--tls-min-v1.0', SSLKEYLOGFILE: join(dir.path, 'keys') })
  expect(await version.ended).toBe(0)
  expect(version.output()).toMatch(/^icp-agent /)
  expect(version.errors()).toBe(
    'warning these variables would weaken the command and are without effect: SSLKEYLOGFILE, NODE_OPTIONS (--tls-min-v1.0)\n',
  )
})

it('a variable that cannot be left out because it forbids native code is named', { timeout: 60_000 }, async () => {
  const version = start(['version'], { NODE_OPTIONS: '--no-addons' })
  expect(await version.ended).toBe(2)
  expect(version.output()).toBe('')
  expect(version.errors()).toMatch(/^error cannot start without .*: NODE_OPTIONS \(--no-addons\)\n$/)
})

describe('what the surroundings of a command cause is called no defect', () => {
  const shell = async (script: string) => {
    const child = spawn('/bin/sh', ['-c', script, process.execPath, program], {
      cwd: dir.path,
      env: { PATH: process.env['PATH'] ?? '' },
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        said += chunk
      })
    }
    const [code] = await once(child, 'close')
    return { code: code as number, said }
  }

  it.each<[string, string, RegExp]>([
    [
      'a working directory that is gone',
      'mkdir gone; cd gone; rmdir ../gone; "$0" "$1" validate',
      /working directory is gone/,
    ],
    [
      'a full disk behind standard output',
      '"$0" "$1" help >/dev/full',
      /cannot write to standard output: the disk is full/,
    ],
    ['a directory as configuration', '"$0" "$1" run -c .', /it is a directory/],
    ['a device as configuration', '"$0" "$1" validate -c /dev/tty', /\/dev\/tty/],
    ['a file as data directory', 'touch file; "$0" "$1" dev-icp --data file', /file: it is not a directory/],
  ])('%s', { timeout: 60_000 }, async (_what, script, told) => {
    const { code, said } = await shell(script)
    expect(said).toMatch(told)
    expect(said).not.toMatch(/defect|\[internal\]|^ {4}at /m)
    expect(code).toBeGreaterThan(0)
  })
})
