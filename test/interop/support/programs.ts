import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Where what is built for these tests stays, so that a second run is fast; npm ci removes it. */
export const CACHE = join('node_modules', '.cache', 'icp-agent-interop')
export const CLIENTS = join('test', 'interop', 'clients')

/** How a program is started. */
export interface Program {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

const BUILD_LIMIT_MS = 540_000

/** Runs a command to its end; rejects with the last that it said when it fails. */
export async function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: BUILD_LIMIT_MS,
    killSignal: 'SIGKILL',
  })
  const said: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => void said.push(text))
  }
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${said.join('').slice(-4000)}`)
}

/**
 * Builds into a directory of the cache that is named after the sources, unless it is there already; resolves with it.
 * One build of a name at a time, on this machine, and at low priority: tests with deadlines run meanwhile.
 */
export async function built(
  name: string,
  sources: readonly string[],
  steps: (directory: string) => readonly { readonly argv: readonly [string, ...string[]]; readonly cwd?: string }[],
): Promise<string> {
  const directory = join(process.cwd(), CACHE, `${name}-${digest(sources)}`)
  mkdirSync(directory, { recursive: true })
  const done = join(directory, '.done')
  const script = steps(directory).map(
    ({ argv, cwd }) => `(cd ${quoted(cwd ?? '.')} && nice ${argv.map(quoted).join(' ')})`,
  )
  const all = [
    `test -e ${quoted(done)} || {`,
    ...script.map((line) => `${line} || exit 1;`),
    `touch ${quoted(done)}; }`,
  ]
  await run('flock', [join(CACHE, `${name}.lock`), 'sh', '-c', all.join('\n')])
  return directory
}

/** SHA-256 of files and of all files below directories, names included, shortened. */
function digest(paths: readonly string[]): string {
  const hash = createHash('sha256')
  const add = (path: string): void => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path).sort()) add(join(path, name))
    else hash.update(`${path}\0`).update(readFileSync(path)).update('\0')
  }
  for (const path of paths) add(path)
  return hash.digest('hex').slice(0, 16)
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

/** Runs it and tells whether it ended well, and what it printed; null where there is no such program. */
export function ask(command: string, ...args: readonly string[]): string | null {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 60_000 })
  return status === 0 ? `${stdout}${stderr}` : null
}
