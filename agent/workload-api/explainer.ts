import { type Caller, callerOf } from '../attestation/caller.js'
import type { ContainerRef, Place, PlaceFinder, PodName } from '../attestation/place.js'
import { AgentError } from '../errors.js'
import { LinkedAbort, unlessAborted } from '../lib/abort.js'
import { startTime } from '../lib/proc-texts.js'
import type { Kernel } from '../ports/kernel.js'
import { type ExplainContext, type Explanation, explain } from './explain.js'

export type ExplainTarget = { readonly pid: number } | { readonly container: string } | { readonly pod: PodName }

/** One process and its explanation. */
export interface ExplainedProcess {
  readonly pid: number
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  /** Identifies this process, also when its pid is reused. */
  readonly key: string
  /** The name that the process gave itself. `program`: its executable; null if that is not a file of the host. */
  readonly command: string
  readonly program: string | null
  readonly container: ContainerRef | null
  readonly explanation: Explanation
}

/** A process of the container or pod that was left out, and why. */
export interface LeftOut {
  readonly pid: number
  readonly container: ContainerRef
  readonly why: string
}

export interface Explained {
  /** How the processes were found. */
  readonly how: string
  readonly processes: readonly ExplainedProcess[]
  /** At most `MOST_MEMBERS`. */
  readonly others: readonly LeftOut[]
}

export interface ExplainerOptions extends ExplainContext {
  readonly kernel: Pick<Kernel, 'peerOfPid' | 'pids' | 'cgroupOf'>
  readonly places: PlaceFinder
}

/** The deadline of one explanation. */
const DEADLINE_MS = 5_000
/** Limit of processes of a container or pod that are examined. */
const MOST_MEMBERS = 200
/** Control groups that are read before yielding to the event loop. */
const IN_ONE_TURN = 100

/** Explains processes for an administrator, one request at a time, each within 5 s. */
export class Explainer {
  #last: Promise<unknown> = Promise.resolve()

  constructor(private readonly options: ExplainerOptions) {}

  /**
   * Explains the process with that pid, or the first process of each container of the place. Throws `caller.exited` if
   * there is no such process, `caller.unidentified` if the agent may not read it, `admin.not_found` if the place has none.
   */
  explain(target: ExplainTarget, signal: AbortSignal): Promise<Explained> {
    const turn = this.#last.then(() => this.#withinTime(target, signal))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #withinTime(target: ExplainTarget, signal: AbortSignal): Promise<Explained> {
    signal.throwIfAborted()
    using limit = new LinkedAbort(signal)
    using _timer = this.options.clock.after(DEADLINE_MS, () => limit.abort(overdue()))
    if ('pid' in target) {
      const explained = await this.#ofPid(target.pid, null, limit.signal)
      return { how: `process ${target.pid}, held by a pidfd`, processes: [explained], others: [] }
    }
    const place =
      'pod' in target
        ? await unlessAborted(this.options.places.pod(target.pod, limit.signal), limit.signal)
        : this.options.places.container(target.container)
    return await this.#ofPlace(place, limit.signal)
  }

  async #ofPlace(place: Place, signal: AbortSignal): Promise<Explained> {
    const { members, truncated } = await this.#membersOf(place, signal)
    const processes: ExplainedProcess[] = []
    const others: LeftOut[] = []
    const seen = new Set<string>()
    for (const { pid, container } of members) {
      const leave = (why: string) => others.push({ pid, container, why })
      if (seen.has(container.id)) {
        leave('not the first process of its container; explain it with --pid')
        continue
      }
      if (signal.aborted) {
        leave(`the ${DEADLINE_MS / 1000} s were over; explain it with --pid`)
        continue
      }
      try {
        processes.push(await this.#ofPid(pid, { place, container }, signal))
        seen.add(container.id)
      } catch (error) {
        // It has exited or moved since it was found, so the next process of its container is explained.
        if (!(error instanceof AgentError)) throw error
        leave(error.message)
      }
    }
    if (members.length === 0) {
      throw new AgentError('admin.not_found', `${place.how}; the agent sees no process of this machine in it`)
    }
    const more = truncated ? `, of which the first ${MOST_MEMBERS} were examined` : ''
    return { how: `${place.how}; processes by their control groups${more}`, processes, others }
  }

  /** The processes of a container or pod, in the order of their start. */
  async #membersOf(place: Place, signal: AbortSignal) {
    const { kernel, turn } = this.options
    const members: { pid: number; container: ContainerRef; started: bigint }[] = []
    let looked = 0
    for (const pid of kernel.pids()) {
      if (++looked % IN_ONE_TURN === 0) await turn()
      signal.throwIfAborted()
      const cgroup = kernel.cgroupOf(pid)
      const container = cgroup === null ? null : place.containerOf(cgroup)
      if (!container) continue
      if (members.length === MOST_MEMBERS) return { members: inOrder(members), truncated: true }
      members.push({ pid, container, started: this.#startOf(pid) })
    }
    return { members: inOrder(members), truncated: false }
  }

  /** The start time. A process that can no longer be read sorts last; opening it later shows that it has exited. */
  #startOf(pid: number): bigint {
    try {
      using process = this.options.kernel.peerOfPid(pid).process
      return BigInt(startTime(process.read('stat')))
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      return BigInt(Number.MAX_SAFE_INTEGER)
    }
  }

  async #ofPid(
    pid: number,
    found: { readonly place: Place; readonly container: ContainerRef } | null,
    signal: AbortSignal,
  ): Promise<ExplainedProcess> {
    const peer = this.options.kernel.peerOfPid(pid)
    using process = peer.process
    // The pid may have been reused since it was found, so the held process is checked again.
    if (found && found.place.containerOf(process.read('cgroup'))?.id !== found.container.id) {
      throw new AgentError('caller.exited', `process ${pid} is not in container ${found.container.id} any more`)
    }
    const caller = callerOf(peer)
    const { uid, gid, groups } = caller
    const shown = { command: commandOf(process.read('stat')), program: programOf(caller) }
    const explanation = await explain(this.options, caller, signal)
    return { pid, uid, gid, groups, key: process.key, ...shown, container: found?.container ?? null, explanation }
  }
}

function inOrder<T extends { readonly pid: number; readonly started: bigint }>(members: readonly T[]): readonly T[] {
  return [...members].sort((a, b) => (a.started === b.started ? a.pid - b.pid : a.started < b.started ? -1 : 1))
}

function programOf({ process }: Caller): string | null {
  using program = process.openExecutable()
  return program?.path() ?? null
}

/** The name in brackets, which the process chooses. */
function commandOf(stat: string): string {
  return stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
}

function overdue(): AgentError {
  return new AgentError('attestation.timeout', `an explanation may take ${DEADLINE_MS} ms`)
}
