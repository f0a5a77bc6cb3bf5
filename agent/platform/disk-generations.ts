import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  type Stats,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { AgentError, isError } from '../errors.js'
import type { Generations, OutputFile } from '../ports/generations.js'
import { ensureDirectory, self, syncDirectory } from './directory.js'
import { emptyGeneration, linkAt, remove, removeGeneration, replaceLink, statAt } from './directory-entries.js'
import { errnoOf, ioError } from './io-error.js'
import { type Libc, loadLibc } from './koffi-libc.js'
import { holds } from './output-file.js'

export interface DiskGenerationsOptions {
  readonly directory: string
  /** `symlink`: switches all files of a generation at once through `..data`; `rename`: one after the other. */
  readonly switching: 'symlink' | 'rename'
  /** Owner and group of the files; null: this process's user, and the directory's or this process's group. */
  readonly owner: number | null
  readonly group: number | null
  /** Others may write to the directory: a volume that several containers share. */
  readonly shared: boolean
  /** How long a replaced generation is kept for programs that still read it. */
  readonly graceMs: number
  readonly now: () => number
}

/** The symlink that readers follow; the name is that of Kubernetes. */
const DATA = '..data'
const GENERATION = /^\.\.\d{4}(?:_\d\d){5}\.[0-9a-f]{16}$/
const TEMPORARY_LINK = /^\.\.tmp\.[0-9a-f]{16}$/
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants

/**
 * Generations of files in directories beside each other. All access is through a descriptor of the directory and by
 * unpredictable names, so that entries of other users are replaced or ignored, but never written through.
 */
export class DiskGenerations implements Generations {
  readonly #options: DiskGenerationsOptions
  readonly #libc: () => Pick<Libc, 'lock'>
  /** When this process replaced a generation. */
  readonly #replaced = new Map<string, number>()
  #held: { readonly fd: number; readonly stat: Stats } | null = null
  #written: readonly string[] = []

  constructor(options: DiskGenerationsOptions, libc: () => Pick<Libc, 'lock'> = loadLibc) {
    this.#options = { ...options, directory: resolve(options.directory) }
    this.#libc = libc
  }

  put(files: readonly OutputFile[]): boolean {
    const { directory, switching } = this.#options
    try {
      const base = this.#open()
      // Otherwise it would be met when other files are replaced already.
      for (const { name } of files) if (statAt(base, name)?.isDirectory()) throw inTheWay(join(directory, name))
      if (switching === 'symlink') return this.#switchAll(base, files)
      return this.#renameEach(base, files)
    } catch (error) {
      throw ioError('write to', directory, error)
    }
  }

  sweep(): void {
    try {
      this.#sweep(this.#open())
    } catch (error) {
      throw ioError('clean up', this.#options.directory, error)
    }
  }

  [Symbol.dispose](): void {
    if (this.#held) closeSync(this.#held.fd)
    this.#held = null
  }

  #sweep(base: string): void {
    const now = this.#options.now()
    const current = linkAt(base, DATA)
    const switched = statAt(base, DATA)?.mtimeMs ?? Number.NEGATIVE_INFINITY
    for (const name of readdirSync(base)) {
      if (TEMPORARY_LINK.test(name) && linkAt(base, name) !== null) remove(base, name)
      if (!GENERATION.test(name) || name === current) continue
      // A generation of an earlier process was replaced at the last switch or before, or was never in use.
      const since = this.#replaced.get(name) ?? switched
      if (Math.abs(now - since) < this.#options.graceMs) continue
      removeGeneration(base, name)
      this.#replaced.delete(name)
    }
  }

  #switchAll(base: string, files: readonly OutputFile[]): boolean {
    const current = linkAt(base, DATA)
    if (current !== null && GENERATION.test(current) && this.#isThere(join(base, current), files)) {
      this.#link(base, files)
      return false
    }
    const made = this.#make(base, files)
    try {
      // A new name is a dangling symlink until the switch, so that the first files also appear all at once.
      for (const { name } of files) if (statAt(base, name) === null) symlinkSync(join(DATA, name), join(base, name))
      replaceLink(base, DATA, made)
    } catch (error) {
      removeGeneration(base, made)
      throw error
    }
    this.#link(base, files)
    if (current !== null) this.#replaced.set(current, this.#options.now())
    return true
  }

  /** Makes every name a symlink through `..data`, and removes other names of ours. */
  #link(base: string, files: readonly OutputFile[]): void {
    for (const { name } of files) {
      if (linkAt(base, name) !== join(DATA, name)) replaceLink(base, name, join(DATA, name))
    }
    const names = new Set(files.map(({ name }) => name))
    for (const name of readdirSync(base)) {
      if (!names.has(name) && linkAt(base, name) === join(DATA, name)) remove(base, name)
    }
    syncDirectory(base)
  }

  #renameEach(base: string, files: readonly OutputFile[]): boolean {
    const names = new Set(files.map(({ name }) => name))
    const before = this.#written.filter((name) => !names.has(name))
    this.#written = [...names]
    if (before.length === 0 && this.#isThere(base, files)) return false
    const made = this.#make(base, files)
    try {
      for (const { name } of files) renameSync(join(base, made, name), join(base, name))
      for (const name of before) remove(base, name)
      // Left from switching by symlink; its generations are swept.
      if (GENERATION.test(linkAt(base, DATA) ?? '')) remove(base, DATA)
      syncDirectory(base)
      return true
    } finally {
      removeGeneration(base, made)
    }
  }

  #isThere(place: string, files: readonly OutputFile[]): boolean {
    const stat = statAt(place, '.')
    if (stat === null || (stat.uid !== self().uid && this.#options.switching === 'symlink')) return false
    const { owner, group } = this.#options
    return files.every((file) => holds(join(place, file.name), file, { owner: owner ?? self().uid, group }))
  }

  /** Writes a new generation completely to disk. */
  #make(base: string, files: readonly OutputFile[]): string {
    const name = generationName(this.#options.now())
    mkdirSync(join(base, name), 0o700)
    const fd = openSync(join(base, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    try {
      const place = `/proc/self/fd/${fd}`
      if (fstatSync(fd).uid !== self().uid) throw replacedByOthers(this.#options.directory)
      for (const file of files) this.#write(place, file)
      fchmodSync(fd, 0o755)
      fsyncSync(fd)
      return name
    } catch (error) {
      emptyGeneration(fd)
      removeGeneration(base, name)
      throw error
    } finally {
      closeSync(fd)
    }
  }

  #write(place: string, { name, content, mode }: OutputFile): void {
    const fd = openSync(join(place, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    try {
      for (let written = 0; written < content.length; ) written += writeSync(fd, content, written)
      this.#giveAway(fd, name)
      fchmodSync(fd, mode)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }

  #giveAway(fd: number, name: string): void {
    const { owner, group, directory } = this.#options
    if (owner === null && group === null) return
    const { uid, gid } = fstatSync(fd)
    try {
      fchownSync(fd, owner ?? uid, group ?? gid)
    } catch (error) {
      if (errnoOf(error) !== 'EPERM') throw error
      const whom = [owner === null ? [] : [`uid ${owner}`], group === null ? [] : [`gid ${group}`]].flat().join(' and ')
      throw new AgentError(
        'file.io',
        `cannot give ${join(directory, name)} to ${whom} (EPERM): only root gives files to other users, and others only to groups that they are in; run this as the user who reads the files`,
        { cause: error },
      )
    }
  }

  /** Opens the directory again and returns a path through its descriptor; if it was replaced, locks the new one. */
  #open(): string {
    const { directory, shared } = this.#options
    if (shared) makeIn(directory)
    else ensureOwn(directory)
    let fd: number
    try {
      fd = openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    } catch (error) {
      throw ioError('open', directory, error)
    }
    const stat = fstatSync(fd)
    if (this.#held?.stat.ino === stat.ino && this.#held.stat.dev === stat.dev) {
      closeSync(fd)
      return `/proc/self/fd/${this.#held.fd}`
    }
    this[Symbol.dispose]()
    this.#held = { fd, stat }
    if (!this.#libc().lock(fd)) {
      this[Symbol.dispose]()
      throw new AgentError('file.io', `another process writes to ${directory}; stop it, or use another directory`)
    }
    return `/proc/self/fd/${fd}`
  }
}

function ensureOwn(directory: string): void {
  try {
    ensureDirectory(directory, 0o755)
  } catch (error) {
    if (!isError(error, 'file.unsafe')) throw error
    throw new AgentError(
      'file.unsafe',
      `${error.message}. If others may write there, as in a volume that containers share, give --shared-dir`,
      { cause: error, details: error.details },
    )
  }
}

/** Opens a directory that others may write to; creates only its last component. */
function makeIn(directory: string): void {
  if (statAt(directory, '.') !== null) return
  try {
    mkdirSync(directory, 0o755)
  } catch (error) {
    throw ioError('create the directory', directory, error)
  }
}

function inTheWay(path: string): AgentError {
  const text = `cannot write ${path}: a directory of that name is there; remove it, or use another directory`
  return new AgentError('file.io', text, { details: { path, errno: 'EISDIR' } })
}

function replacedByOthers(directory: string): AgentError {
  return new AgentError('file.unsafe', `another process replaces what is written to ${directory}`)
}

/** `..2026_11_29_08_15_30.` and 16 hexadecimal digits. */
function generationName(now: number): string {
  const [date = '', time = ''] = new Date(now).toISOString().split(/[T.]/)
  return `..${date.replaceAll('-', '_')}_${time.replaceAll(':', '_')}.${randomBytes(8).toString('hex')}`
}
