import type { Known } from '../attestation/attest.js'
import type { WithdrawnSelectors } from '../attestation/attestor.js'
import type { Caller } from '../attestation/caller.js'
import { Workload, type WorkloadContext, type WorkloadOwner } from './workload.js'

const LINGER_MS = 30_000
/** Each holds two file descriptors; beyond this the oldest goes early. */
const MAX_LINGERING = 1024
const NOTHING: Known = new Map()

export interface WorkloadsOptions extends WorkloadContext {
  /** How long a workload outlives its last holder, in milliseconds; default 30 s. SDKs that are denied come back soon. */
  readonly lingerMs?: number
  /** How many outlive their last holder at a time; default 1024. */
  readonly maxLingering?: number
}

/** All workloads that are held, or were a moment ago. */
export class Workloads implements Disposable {
  readonly #workloads = new Map<string, Workload>()
  /** Those without a holder, with the time at which they go, in that order. One timer is enough. */
  readonly #lingering = new Map<Workload, number>()
  readonly #lingerMs: number
  readonly #owner: WorkloadOwner = { idle: (one) => this.#linger(one), over: (one) => this.#drop(one) }
  #timer: Disposable | undefined

  constructor(private readonly options: WorkloadsOptions) {
    this.#lingerMs = options.lingerMs ?? LINGER_MS
  }

  /**
   * The workload of a caller, counted: each acquire wants one `release()`. Takes over `caller.process`: it is disposed
   * here, at once where the workload holds the same process already.
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

  /** What is known of a caller from an attestation before, by attestor; empty where its workload is not kept. */
  knownOf(caller: Caller): Known {
    return this.#workloads.get(keyOf(caller))?.known ?? NOTHING
  }

  /** Selectors of the platform are wanted that were not looked for before: of every workload they are unknown until then. */
  lookAgain(platform: string): void {
    for (const workload of [...this.#workloads.values()]) workload.lookAgain(platform)
  }

  /** Something changed that decisions on every workload depend on. */
  decideAgain(): void {
    for (const workload of [...this.#workloads.values()]) workload.decideAgain()
  }

  /** The attestors are others now: every workload is attested again, without what `withdrawn` takes away. */
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
 * One process, one program, one set of credentials. The credentials are those of the connection: a daemon that dropped
 * its privileges between two connections is two workloads.
 */
function keyOf({ process, executable, uid, gid, groups }: Caller): string {
  const program = executable ? `${executable.device}:${executable.inode}:${executable.mount ?? '-'}` : '-'
  return `${process.key}|${program}|${uid}:${gid}:${groups.join(',')}`
}
