import type { Known } from '../attestation/attest.js'
import type { WithdrawnSelectors } from '../attestation/attestor.js'
import type { Caller } from '../attestation/caller.js'
import { Workload, type WorkloadContext, type WorkloadOwner } from './workload.js'

const LINGER_MS = 30_000
/** Limit, because each holds two file descriptors; beyond it the oldest is dropped early. */
const MAX_LINGERING = 1024
const NOTHING: Known = new Map()

export interface WorkloadsOptions extends WorkloadContext {
  /** How long a workload is kept after its last holder, in milliseconds; default 30 s. Denied SDKs retry soon. */
  readonly lingerMs?: number
  /** Limit of workloads kept after their last holder; default 1024. */
  readonly maxLingering?: number
}

/** All workloads that are held, or were until recently. */
export class Workloads implements Disposable {
  readonly #workloads = new Map<string, Workload>()
  /** Workloads without a holder, ordered by the time at which they are dropped, so that one timer is enough. */
  readonly #lingering = new Map<Workload, number>()
  readonly #lingerMs: number
  readonly #owner: WorkloadOwner = { idle: (one) => this.#linger(one), over: (one) => this.#drop(one) }
  #timer: Disposable | undefined

  constructor(private readonly options: WorkloadsOptions) {
    this.#lingerMs = options.lingerMs ?? LINGER_MS
  }

  /**
   * The workload of a caller, counted: each acquire needs one `release()`. Takes ownership of `caller.process`, and disposes
   * it at once if the workload already holds the same process.
   */
  acquire(caller: Caller): Workload {
    const key = keyOf(caller)
    const known = this.#workloads.get(key)
    if (known) {
      if (known.caller.process !== caller.process) caller.process[Symbol.dispose]()
      this.#lingering.delete(known)
      known.hold()
      return known
    }
    const workload = new Workload(caller, key, this.options, this.#owner)
    this.#workloads.set(key, workload)
    workload.hold()
    try {
      workload.start()
    } catch (error) {
      this.#drop(workload)
      throw error
    }
    return workload
  }

  /** The caller's selectors of an earlier attestation by attestor; empty if its workload is not kept. */
  knownOf(caller: Caller): Known {
    return this.#workloads.get(keyOf(caller))?.known ?? NOTHING
  }

  /** An entry requires selectors of the platform that were not read before: every workload is attested again. */
  lookAgain(platform: string): void {
    for (const workload of [...this.#workloads.values()]) workload.lookAgain(platform)
  }

  /** Makes every workload's streams decide again. */
  decideAgain(): void {
    for (const workload of [...this.#workloads.values()]) workload.decideAgain()
  }

  /** Other attestors are in force: every workload is attested again, without the `withdrawn` selectors. */
  attestorsChanged(withdrawn: WithdrawnSelectors): void {
    for (const workload of [...this.#workloads.values()]) workload.attestorsChanged(withdrawn)
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    for (const workload of [...this.#workloads.values()]) this.#drop(workload)
  }

  #linger(workload: Workload): void {
    if (this.#workloads.get(workload.key) !== workload) return
    this.#lingering.set(workload, this.options.clock.monotonic() + this.#lingerMs)
    const [oldest] = this.#lingering.keys()
    if (oldest && this.#lingering.size > (this.options.maxLingering ?? MAX_LINGERING)) this.#drop(oldest)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#timer) return
    const [due] = this.#lingering.values()
    if (due === undefined) return
    const { clock } = this.options
    this.#timer = clock.after(Math.max(0, due - clock.monotonic()), () => this.#dropDue())
  }

  #dropDue(): void {
    this.#timer = undefined
    const now = this.options.clock.monotonic()
    for (const [workload, due] of [...this.#lingering]) {
      if (due > now) break
      this.#drop(workload)
    }
    this.#schedule()
  }

  #drop(workload: Workload): void {
    this.#lingering.delete(workload)
    if (this.#workloads.get(workload.key) === workload) this.#workloads.delete(workload.key)
    workload[Symbol.dispose]()
  }
}

/**
 * The key of one process with one executable and one set of credentials. The credentials are those of the connection: a
 * daemon that dropped its privileges between two connections is two workloads.
 */
function keyOf({ process, executable, uid, gid, groups }: Caller): string {
  const program = executable ? `${executable.device}:${executable.inode}:${executable.mount ?? '-'}` : '-'
  return `${process.key}|${program}|${uid}:${gid}:${groups.join(',')}`
}
