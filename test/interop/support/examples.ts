import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { built, type Program } from './programs.js'
import { strangersFolder } from './stranger.js'

/** The three programs that each language has. */
export type Role = 'watch' | 'server' | 'client'
export type Example = (role: Role) => Program

const EXAMPLES = 'examples'

/** In a folder that has the npm package installed, as the README of the examples says. */
export async function nodeExample(directory: string): Promise<Example> {
  const folder = await strangersFolder(directory)
  for (const name of readdirSync(join(EXAMPLES, 'node'))) cpSync(join(EXAMPLES, 'node', name), join(folder, name))
  return (role) => ({ command: process.execPath, args: [join(folder, `${role}.mjs`)] })
}

export async function pythonExample(): Promise<Example> {
  const requirements = join(EXAMPLES, 'python', 'requirements.txt')
  const out = await built('example-python', [requirements], (target) => [
    { argv: ['python3', '-m', 'venv', join(target, 'venv')] },
    { argv: [join(target, 'venv', 'bin', 'pip'), 'install', '--quiet', '-r', requirements] },
  ])
  return (role) => ({
    command: join(out, 'venv', 'bin', 'python'),
    args: [join(EXAMPLES, 'python', `${role}.py`)],
    env: { PYTHONDONTWRITEBYTECODE: '1' },
  })
}

export async function goExample(): Promise<Example> {
  const folder = join(EXAMPLES, 'go')
  const out = await built('example-go', [folder], (target) => [
    { argv: ['go', 'build', '-o', `${target}/`, './watch', './server', './client'], cwd: folder },
  ])
  return (role) => ({ command: join(out, role), args: [] })
}

const PATIENCE_MS = 90_000

/** One of them, running. */
export class ExampleProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  #stderr = ''
  #wake: () => void = () => undefined
  #ended = false

  constructor({ command, args, env }: Program, socket: string, ...more: readonly string[]) {
    this.#child = spawn(command, [...args, ...more], {
      env: { ...process.env, ...env, SPIFFE_ENDPOINT_SOCKET: socket },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
      this.#wake()
    })
    if (this.#child.stdout) {
      createInterface({ input: this.#child.stdout }).on('line', (line) => {
        this.#lines.push(line)
        this.#wake()
      })
    }
    this.#child.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  /** What it has written to stderr. */
  get complaints(): string {
    return this.#stderr
  }

  /** The first line that fits, of those printed and to come. */
  async line(fits: RegExp): Promise<string> {
    const late = AbortSignal.timeout(PATIENCE_MS)
    for (;;) {
      const found = this.#lines.find((line) => fits.test(line))
      if (found !== undefined) return found
      if (this.#ended || late.aborted) throw new Error(`no line ${fits}: ${this.#lines.join('\n')}\n${this.#stderr}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        late.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  /** Resolves with its exit code when it has ended by itself. */
  async end(): Promise<number | null> {
    if (!this.#ended) await once(this.#child, 'close', { signal: AbortSignal.timeout(PATIENCE_MS) })
    return this.#child.exitCode
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'close')
  }
}
