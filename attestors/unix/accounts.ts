import { AgentError } from '../../agent/errors.js'
import type { FileReports } from '../../agent/observability/file-events.js'
import type { Recurring } from '../../agent/observability/once.js'
import type { Clock } from '../../agent/ports/clock.js'

/**
 * Reads a file; `unchanged` if it is still the `known` version; null if it is missing, unreadable or too large.
 */
export type ReadVersioned = (
  path: string,
  known: string | null,
) => Promise<{ readonly version: string; readonly text: string } | 'unchanged' | null>

export interface AccountsOptions {
  readonly read: ReadVersioned
  readonly clock: Pick<Clock, 'monotonic'>
  readonly fileEvents: FileReports
  /** The path of the host's root: empty, or `/proc/1/root`. */
  readonly root: string
}

/** Minimum time between two checks of a file. */
const LOOK_EVERY_MS = 1_000

/**
 * The names of users and groups in the host's `/etc/passwd` and `/etc/group`. Name services (LDAP, systemd-userdb) are not
 * used: they answer over the network or by programs, and a caller must not wait for either.
 */
export class Accounts {
  readonly #users: Database
  readonly #groups: Database

  constructor(options: AccountsOptions) {
    this.#users = new Database(`${options.root}/etc/passwd`, options)
    this.#groups = new Database(`${options.root}/etc/group`, options)
  }

  /** Null if the file does not have the id. Never rejects. */
  user(uid: number): Promise<string | null> {
    return this.#users.name(uid)
  }

  group(gid: number): Promise<string | null> {
    return this.#groups.name(gid)
  }
}

class Database {
  #names: ReadonlyMap<number, string> = new Map()
  #version: string | null = null
  #lookedAt = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined
  readonly #recurring: Recurring

  constructor(
    private readonly path: string,
    private readonly options: AccountsOptions,
  ) {
    this.#recurring = options.fileEvents.file(path, 'unix:user, unix:group')
  }

  async name(id: number): Promise<string | null> {
    if (this.options.clock.monotonic() - this.#lookedAt >= LOOK_EVERY_MS) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined
      })
    }
    await this.#looking
    return this.#names.get(id) ?? null
  }

  async #look(): Promise<void> {
    const found = await this.options.read(this.path, this.#version)
    this.#lookedAt = this.options.clock.monotonic()
    if (found === 'unchanged') {
      this.#recurring.succeeded()
      return
    }
    const names = found && namesById(found.text)
    // A system without the file has no names; if the file breaks, the last names stay.
    if (names && names.size > 0) {
      this.#names = names
      this.#version = found.version
      this.#recurring.succeeded()
    } else if (this.#names.size > 0) {
      const problem = names ? 'holds no account' : 'is missing, too large, not a regular file, or cannot be read'
      this.#recurring.failed(new AgentError('file.broken', `${this.path} ${problem}`, { details: { path: this.path } }))
    }
  }
}

/** `name:password:id:…`; of several names for one id the first is used, as by getpwuid. */
export function namesById(text: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>()
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':')
    // `+` and `-` lines are directives for NIS, not accounts.
    if (!name || !id || !/^\d{1,10}$/.test(id) || /^[+-]/.test(name)) continue
    const number = Number(id)
    if (!names.has(number)) names.set(number, name)
  }
  return names
}
