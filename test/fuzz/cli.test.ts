import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SETTING_KEYS } from '../../agent/config/schema.js'
import { main } from '../../agent/main/cli.js'
import { COMMANDS } from '../../agent/main/command-table.js'

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: placeholders are among what is tried
// Nothing that a user types, names or sets may be told as a defect of the agent.

let directory: string
let server: Server
const before = process.cwd()
let places: readonly string[]

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'icp-'))
  const at = (name: string) => join(directory, name)
  // Some words are names of files that a command makes.
  await mkdir(at('here'))
  process.chdir(at('here'))
  await mkdir(at('directory'))
  await symlink(at('loop'), at('loop'))
  await symlink(at('nowhere'), at('dangling'))
  execFileSync('mkfifo', [at('fifo')])
  await writeFile(at('empty'), '')
  await writeFile(at('binary'), Buffer.from(Array.from({ length: 4096 }, (_, n) => (n * 7919) % 256)))
  await writeFile(at('null.json'), 'null')
  await writeFile(at('deep.yaml'), `${'['.repeat(5_000)}`)
  await writeFile(at('alias.yaml'), 'a: &a [*a]\nb: *a\n')
  await writeFile(at('keys.yaml'), '? [x]\n: 1\n__proto__: 1\nagent: [1]\n"": {}\n')
  await writeFile(
    at('words.yaml'),
    'constructor: {}\nagent: {toString: 1, constructor: {a: 1}}\nlogging: {level: constructor}\n',
  )
  await writeFile(at('token'), 'a.b.c')
  server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.end(randomBytes(200))
  })
  await new Promise<void>((resolve) => server.listen(at('garbage.sock'), resolve))
  places = [
    'directory',
    'loop',
    'dangling',
    'fifo',
    'empty',
    'binary',
    'null.json',
    'deep.yaml',
    'alias.yaml',
    'keys.yaml',
    'words.yaml',
    'token',
    'garbage.sock',
    'empty/below',
    'missing/below',
  ].map(at)
})
afterAll(async () => {
  process.chdir(before)
  server.close()
  await rm(directory, { recursive: true })
})

const words = () => [
  ...['', ' ', '-', '--', 'a\u0000b', '.', '/dev/null', '/proc/self/mem', '\ud800', '%zz', '{{}}', '*', '\u202e'],
  ...['0', '-1', 'NaN', '1e999', '99999999999999999999', '0x10', '1s', '0s', '9999999999h', 'true', 'json', 'pretty'],
  ...[
    'unix:',
    'unix://',
    'unix:///',
    'unix:///a\u0000',
    'tcp://1',
    'http://[',
    '[::1]:0',
    '127.0.0.1:1',
    '1.2.3.4:99999',
  ],
  ...['spiffe://', 'spiffe://a/../b', 'spiffe://A', 'unix:uid', 'unix:uid=', '=', 'x'.repeat(100_000)],
  ...places,
  `unix://${join(directory, 'garbage.sock')}`,
  `unix://${join(directory, 'token')}`,
]

async function told(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  let stderr = ''
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), 500)
  try {
    await main(args, {
      env: { ICP_DEBUG: '1', ...env },
      stdout: { write: () => true },
      stderr: { write: (text) => (stderr += text) },
      signal: stop.signal,
    })
  } finally {
    clearTimeout(timer)
  }
  return stderr
}

// `run` serves until it is stopped, and `dev-icp` makes an authority for each start: a few cases of that one are enough.
const IN_PROCESS = COMMANDS.filter(({ name }) => name !== 'run')
const EVERY = (name: string) => (name === 'dev-icp' ? 17 : 1)

test.each(IN_PROCESS.map((command) => [command.name, command] as const))('icp-agent %s', async (name, command) => {
  const { help } = await command.load()
  const options = new Set([...help.matchAll(/(--[a-z][a-z-]+)(?: [A-Z])?/g)].map(([, option]) => option ?? ''))
  options.delete('--help')
  const cases = words().flatMap((word) => [
    [word],
    ...[...options].flatMap((option) => [[`${option}=${word}`], [option, word, word]]),
  ])
  const chosen = cases.filter((_, i) => i % EVERY(name) === 0)
  expect(await defectsOf(chosen.map((args) => ({ args: [...name.split(' '), ...inTime(args, help)] })))).toEqual([])
})

test('every setting of the environment, with words that mean something to JavaScript', async () => {
  const odd = [
    'constructor',
    '__proto__',
    'toString',
    '${constructor}',
    '${',
    '\ud800',
    '[1',
    '{a: 1}',
    '-0',
    '1e400',
    ' ',
  ]
  const runs = SETTING_KEYS.flatMap((key) =>
    odd.map((word) => ({ args: ['config'], env: { [`ICP_AGENT_${key.toUpperCase().replaceAll('.', '__')}`]: word } })),
  )
  expect(await defectsOf(runs)).toEqual([])
})

/** Commands that wait for an agent wait a moment. */
function inTime(args: readonly string[], help: string): readonly string[] {
  const waits = ['--timeout', '--wait'].filter(
    (option) => help.includes(`${option} DURATION`) && !args.some((arg) => arg.startsWith(option)),
  )
  return [...waits.map((option) => `${option}=200ms`), ...args]
}

interface Run {
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

async function defectsOf(runs: readonly Run[]): Promise<string[]> {
  const defects: string[] = []
  const rest = runs[Symbol.iterator]()
  const worker = async () => {
    for (const { args, env } of rest) {
      const text = await told(args, env)
      if (text.includes('[internal]')) defects.push(`${JSON.stringify({ args, env }).slice(0, 300)}: ${text}`)
    }
  }
  // Many of them wait until they are stopped.
  await Promise.all(Array.from({ length: 32 }, worker))
  return defects
}
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: placeholders are among what is tried
