import { randomBytes } from 'node:crypto'
import { type BigIntStats, chmodSync, lstatSync, readdirSync, renameSync, unlinkSync } from 'node:fs'
import { basename, dirname, isAbsolute } from 'node:path'
import { AgentError } from '../errors.js'
import type { SocketDirectory, SocketPlace } from '../ports/socket-directory.js'
import { ensureDirectory, type HeldDirectory, holdDirectory } from './directory.js'
import { ioError } from './io-error.js'

/** `sun_path` without the byte that ends it. */
const MAX_PATH_BYTES = 107
const MODE = 0o755
/** An older socket under a temporary name is a leftover of a killed agent. */
const LEFT_BEHIND_MS = 60_000
const TEMPORARY = /^\.icp-agent\.[0-9a-f]{8}$/

/**
 * Creates the directory of the socket if it is missing. Call it before private directories (log, keys) are created: one of
 * them may be the same or an ancestor, and an existing directory keeps the mode that callers need. If it fails, `prepare`
 * reports why.
 */
export function makeSocketDirectory(path: string): void {
  try {
    if (isAbsolute(path)) ensureDirectory(dirname(path), MODE)
  } catch (error) {
    if (!(error instanceof AgentError)) throw error
  }
}

/** The real directories. */
export const socketDirectory: SocketDirectory = {
  prepare(path) {
    const bytes = Buffer.byteLength(path)
    if (!isAbsolute(path) || path.endsWith('/')) {
      throw new AgentError('config.invalid', `the socket path ${path} must be absolute and name a file`)
    }
    if (bytes > MAX_PATH_BYTES) {
      throw new AgentError(
        'config.invalid',
        `the socket path has ${bytes} bytes; the kernel allows ${MAX_PATH_BYTES}: choose a shorter one`,
      )
    }
    const place = new LinuxSocketPlace(path, holdDirectory(dirname(path), { mode: MODE, tighten: true }))
    try {
      place.sweep()
    } catch (error) {
      place[Symbol.dispose]()
      throw error
    }
    return place
  },
}

class LinuxSocketPlace implements SocketPlace {
  readonly temporaryPath: string
  readonly tightenedFrom: number | null
  readonly #temporary: string
  readonly #name: string
  #installed: { readonly dev: bigint; readonly ino: bigint } | null = null
  #open = true

  constructor(
    readonly path: string,
    private readonly directory: HeldDirectory,
  ) {
    this.tightenedFrom = directory.tightenedFrom
    this.#name = directory.inside(basename(path))
    const temporary = `.icp-agent.${randomBytes(4).toString('hex')}`
    this.#temporary = this.directory.inside(temporary)
    // The usual path, so that `ss` shows it; through the held directory if that is too long.
    const readable = `${dirname(path)}/${temporary}`
    this.temporaryPath = Buffer.byteLength(readable) > MAX_PATH_BYTES ? this.#temporary : readable
  }

  occupied(): boolean {
    const stat = look(this.#name)
    if (!stat) return false
    if (stat.isSocket()) return true
    const what = stat.isSymbolicLink() ? 'a symlink' : stat.isDirectory() ? 'a directory' : 'a file'
    throw new AgentError('file.unsafe', `${this.path} is ${what}, not a socket; remove it or choose another path`)
  }

  install(): void {
    this.#failing('install the socket', () => {
      chmodSync(this.#temporary, 0o666)
      const { dev, ino } = lstatSync(this.#temporary, { bigint: true })
      renameSync(this.#temporary, this.#name)
      this.#installed = { dev, ino }
    })
  }

  intact(): boolean {
    // By its full path, because the directory itself may have been replaced.
    return this.#isOurs(look(this.path))
  }

  remove(): void {
    if (!this.#open) return
    this.#failing('remove the socket', () => {
      if (this.#isOurs(look(this.#name))) unlinkSync(this.#name)
      if (look(this.#temporary)) unlinkSync(this.#temporary)
    })
  }

  /** Removes sockets that were bound and never installed. */
  sweep(): void {
    this.#failing('sweep the directory of', () => {
      for (const name of readdirSync(this.directory.inside(''))) {
        if (!TEMPORARY.test(name)) continue
        const stat = look(this.directory.inside(name))
        if (stat?.isSocket() && Date.now() - Number(stat.mtimeMs) > LEFT_BEHIND_MS)
          unlinkSync(this.directory.inside(name))
      }
    })
  }

  [Symbol.dispose](): void {
    if (this.#open) this.directory[Symbol.dispose]()
    this.#open = false
  }

  #isOurs(stat: BigIntStats | null): boolean {
    return stat !== null && this.#installed?.dev === stat.dev && this.#installed.ino === stat.ino
  }

  #failing(action: string, run: () => void): void {
    try {
      run()
    } catch (error) {
      throw ioError(action, this.path, error)
    }
  }
}

function look(path: string): BigIntStats | null {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null
}
