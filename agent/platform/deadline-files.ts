import { dirname } from 'node:path'
import { AgentError } from '../errors.js'
import { iso } from '../lib/time.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'

/** A disk that does not answer within this time counts as hanging. */
const DEADLINE_MS = 10_000
/**
 * Limit of concurrent operations on one disk. An operation that hangs blocks one of the four threads that Node has for
 * files, DNS and keys until the kernel returns.
 */
const AT_ONCE = 2

/** The state of one disk. */
interface DiskPlace {
  running: number
  overdue: number
  /** Milliseconds since 1970. */
  hangsSince: number | null
  readonly waiting: Set<{ readonly go: () => void; readonly fail: (error: AgentError) => void }>
}

/**
 * Files with a deadline for each operation: on a stalled EBS volume or an unreachable NFS server, system calls wait for
 * ever instead of failing. An operation that takes too long fails with `file.io`, and further ones on that disk fail at
 * once until it answers. An abandoned operation continues in the kernel, and the next one on that disk begins only after
 * its end, so that old content never replaces newer content.
 */
export class DeadlineFiles implements Files {
  readonly #places = new Map<string, DiskPlace>()

  /** `roots`: directories that are each on one disk with all below them; other files count by their directory. */
  constructor(
    private readonly files: Files,
    private readonly clock: Pick<Clock, 'now' | 'after'>,
    private readonly roots: readonly string[],
    private readonly deadlineMs = DEADLINE_MS,
  ) {}

  /** Threads that hang in a system call. */
  get hanging(): number {
    return [...this.#places.values()].reduce((sum, { overdue }) => sum + overdue, 0)
  }

  read(path: string, options: Parameters<Files['read']>[1]): Promise<Buffer | null> {
    return this.#within('read', path, () => this.files.read(path, options))
  }

  writeAtomically(path: string, content: Uint8Array, mode?: number): Promise<void> {
    return this.#within('write', path, () => this.files.writeAtomically(path, content, mode))
  }

  makeDirectory(path: string, mode: number, options?: Parameters<Files['makeDirectory']>[2]): Promise<void> {
    return this.#within('make', path, () => this.files.makeDirectory(path, mode, options))
  }

  identity(path: string): Promise<string | null> {
    return this.#within('stat', path, () => this.files.identity(path))
  }

  list(path: string): Promise<readonly string[]> {
    return this.#within('list', path, () => this.files.list(path))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#within('rename', from, () => this.files.rename(from, to))
  }

  remove(path: string): Promise<void> {
    return this.#within('remove', path, () => this.files.remove(path))
  }

  async #within<T>(what: string, path: string, work: () => Promise<T>): Promise<T> {
    const place = this.#placeOf(path)
    const hung = () => hangs(what, path, place.hangsSince ?? this.clock.now())
    if (place.hangsSince !== null) throw hung()
    await this.#turn(place, hung)
    const began = this.clock.now()
    return await new Promise<T>((resolve, reject) => {
      let late = false
      const deadline = this.clock.after(this.deadlineMs, () => {
        late = true
        place.overdue++
        place.hangsSince ??= began
        reject(hung())
        for (const other of place.waiting) other.fail(hung())
      })
      const ended = () => {
        deadline[Symbol.dispose]()
        if (late) place.overdue--
        if (place.overdue === 0) place.hangsSince = null
        place.running--
        this.#next(place)
      }
      work().then(resolve, reject).finally(ended)
    })
  }

  #turn(place: DiskPlace, hung: () => AgentError): Promise<void> | void {
    if (place.running < AT_ONCE) {
      place.running++
      return
    }
    return new Promise((resolve, reject) => {
      const turn = {
        go: () => {
          place.waiting.delete(turn)
          place.running++
          resolve()
        },
        fail: () => {
          place.waiting.delete(turn)
          reject(hung())
        },
      }
      place.waiting.add(turn)
    })
  }

  #next(place: DiskPlace): void {
    const [next] = place.waiting
    next?.go()
  }

  #placeOf(path: string): DiskPlace {
    const name = this.roots.find((root) => path === root || path.startsWith(`${root}/`)) ?? dirname(path)
    const known = this.#places.get(name)
    if (known) return known
    const place: DiskPlace = { running: 0, overdue: 0, hangsSince: null, waiting: new Set() }
    this.#places.set(name, place)
    return place
  }
}

function hangs(what: string, path: string, since: number): AgentError {
  const text = `cannot ${what} ${path}: the disk hangs since ${iso(since)}; check its volume or server, and the kernel log`
  return new AgentError('file.io', text, { details: { path } })
}
