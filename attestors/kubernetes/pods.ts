import type { PodName } from '../../agent/attestation/place.js'
import { onAbort } from '../../agent/lib/abort.js'
import { dropOldest } from '../../agent/lib/oldest.js'
import type { Clock } from '../../agent/ports/clock.js'
import { SecondLook } from '../shared/second-look.js'
import { type Pod, type PodContainer, samePod } from './pod.js'

/** A container in a pod, as a control group names them. */
export interface PodPlace {
  readonly podUid: string
  readonly containerId: string
}

export type FoundPod =
  | { readonly kind: 'known'; readonly pod: Pod; readonly container: PodContainer }
  /** Cannot be determined yet. `starting`: the pod is known, and has containers that are not shown as running yet. */
  | { readonly kind: 'unknown'; readonly why: string; readonly starting?: boolean }
  /** There is certainly no such pod on this node. */
  | { readonly kind: 'absent'; readonly why: string }

/** The agent's own pod, named by its environment, because a static pod's uid differs from that in the API. */
export interface OwnPod {
  readonly namespace: string
  readonly name: string
}

/** How long an unknown pod is awaited, with the API in sync, before it counts as absent. */
const GRACE_MS = 5_000
/** A list requested this long after the first query would contain the pod if it existed. */
const LATER_MS = 1_000
const MAX_REMEMBERED = 1_024

/**
 * The pods of this node as the platform last reported them. Sources write, attestors read. Pods stay while the platform is
 * unreachable: only its answers withdraw them.
 */
export class Pods {
  readonly #pods = new Map<string, Pod>()
  readonly #watchers = new Map<string, Set<() => void>>()
  readonly #sleepers = new Set<() => void>()
  /** Known pods that the last list lacked: a kubelet that has just started lists nothing, then only static pods. */
  readonly #unseen: SecondLook
  /** Pods that were deleted, so that their absence needs no grace. */
  readonly #deleted = new Set<string>()
  /** When an unknown pod was first queried. */
  readonly #asked = new Map<string, number>()
  /** Why the pods may be out of date; null while they are in sync. */
  #behind: string | null = 'the pods of this node have not been listed yet'
  #behindSince = Number.NEGATIVE_INFINITY
  #listedAt = Number.NEGATIVE_INFINITY
  #lacksOwn = false

  /** `own`: null if unknown. */
  constructor(
    private readonly clock: Pick<Clock, 'monotonic' | 'after'>,
    private readonly nodeName: string,
    private readonly own: OwnPod | null = null,
  ) {
    this.#unseen = new SecondLook(clock)
  }

  get size(): number {
    return this.#pods.size
  }

  /** Whether the last list lacked known pods; another one, CONFIRM_MS later, decides. */
  get unconfirmed(): boolean {
    return this.#unseen.pending > 0
  }

  /** Whether the last list lacked the agent's own pod; then pods that it lacks are not withdrawn. */
  get lacksOwn(): boolean {
    return this.#lacksOwn
  }

  /** For how long changes may have been missed, in milliseconds; 0 while in sync, infinite before the first list. */
  get ageMs(): number {
    return this.#behind === null ? 0 : this.clock.monotonic() - this.#behindSince
  }

  /** Number of attestations that wait for a change. */
  get waiting(): number {
    return this.#sleepers.size
  }

  /** Whether there are subscribers to changes. */
  get watched(): boolean {
    return this.#watchers.size > 0
  }

  find({ podUid, containerId }: PodPlace): FoundPod {
    const pod = this.#pods.get(podUid) ?? this.#static(podUid, containerId)
    if (!pod) return this.#missing(podUid)
    this.#asked.delete(podUid)
    const container = pod.containers.find(({ id }) => id === containerId)
    if (container) return { kind: 'known', pod, container }
    const why = `the status of pod ${pod.namespace}/${pod.name} does not show the container yet`
    return { kind: 'unknown', why, starting: pod.starting }
  }

  /** Usually one; a terminating pod may have a successor of the same name. */
  named({ namespace, name }: PodName): readonly Pod[] {
    return [...this.#pods.values()].filter((pod) => pod.namespace === namespace && pod.name === name)
  }

  /** Calls back when the pod with this uid is added, changed or removed. */
  watch(podUid: string, changed: () => void): Disposable {
    const own = () => changed()
    const watchers = this.#watchers.get(podUid) ?? new Set()
    this.#watchers.set(podUid, watchers.add(own))
    return {
      [Symbol.dispose]: () => {
        watchers.delete(own)
        if (watchers.size === 0 && this.#watchers.get(podUid) === watchers) this.#watchers.delete(podUid)
      },
    }
  }

  /**
   * Resolves when the pod with this uid changes, after a new list, when the signal aborts, or after `ms`.
   */
  async next(podUid: string, ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    let wake: () => void = () => undefined
    const woken = new Promise<void>((resolve) => {
      wake = resolve
    })
    using _change = this.watch(podUid, wake)
    using _timer = this.clock.after(ms, wake)
    using _abort = onAbort(signal, wake)
    this.#sleepers.add(wake)
    try {
      await woken
    } finally {
      this.#sleepers.delete(wake)
    }
  }

  put(pod: Pod): void {
    this.#unseen.settled(pod.uid)
    if (this.#isOwn(pod)) this.#lacksOwn = false
    const before = this.#pods.get(pod.uid)
    // Keeps the same object, by which selectors are cached.
    if (before && samePod(before, pod)) return
    this.#pods.set(pod.uid, pod)
    this.#deleted.delete(pod.uid)
    this.#tell(pod)
  }

  remove(uid: string): void {
    const pod = this.#pods.get(uid)
    if (!pod) return
    this.#pods.delete(uid)
    this.#unseen.settled(uid)
    this.#deleted.add(uid)
    dropOldest(this.#deleted, MAX_REMEMBERED)
    this.#tell(pod)
  }

  /**
   * Applies a list of all pods that was requested at that (monotonic) time. Listed pods are used at once. Pods that it lacks
   * are removed only if a later list agrees, and not by a list without the agent's own pod.
   */
  replace(pods: readonly Pod[], askedAt: number): void {
    this.#lacksOwn = this.own !== null
    for (const pod of pods) this.put(pod)
    if (!this.#lacksOwn) {
      const uids = new Set(pods.map(({ uid }) => uid))
      for (const uid of [...this.#pods.keys()]) {
        if (!uids.has(uid) && this.#unseen.denied(uid, askedAt)) this.remove(uid)
      }
      this.#listedAt = askedAt
    }
    this.caughtUp()
    for (const wake of [...this.#sleepers]) wake()
  }

  /** In sync: from now on every change arrives. */
  caughtUp(): void {
    this.#behind = null
  }

  /** No longer in sync: changes may be missed from now on. */
  fellBehind(why: string): void {
    if (this.#behind === null) this.#behindSince = this.clock.monotonic()
    this.#behind = why
  }

  #isOwn({ namespace, name }: Pod): boolean {
    return this.own?.namespace === namespace && this.own.name === name
  }

  #missing(podUid: string): FoundPod {
    if (this.#behind !== null) return { kind: 'unknown', why: this.#behind }
    if (this.own && this.#lacksOwn) {
      const { namespace, name } = this.own
      const why = `the pods that Kubernetes shows on node ${this.nodeName} lack the agent's own, ${namespace}/${name}`
      return { kind: 'unknown', why: `${why}: it has just started, or attestation.kubernetes.node_name is wrong` }
    }
    if (this.unconfirmed) {
      return {
        kind: 'unknown',
        why: `the last list of pods lacked ${this.#unseen.pending} known ones; another is awaited`,
      }
    }
    if (this.#pods.size === 0) {
      // A process of a pod calls, so there is a pod: the name of the node must be wrong.
      const why = `Kubernetes lists no pods on node ${this.nodeName}: check attestation.kubernetes.node_name`
      return { kind: 'unknown', why }
    }
    if (this.#deleted.has(podUid)) return { kind: 'absent', why: `pod ${podUid} was deleted` }
    const now = this.clock.monotonic()
    const asked = this.#asked.get(podUid) ?? now
    this.#asked.set(podUid, asked)
    dropOldest(this.#asked, MAX_REMEMBERED)
    if (now - asked >= GRACE_MS && this.#listedAt - asked >= LATER_MS) {
      return { kind: 'absent', why: `there is no pod ${podUid} on node ${this.nodeName}` }
    }
    return { kind: 'unknown', why: `pod ${podUid} has not been seen on node ${this.nodeName} yet` }
  }

  /**
   * Finds a static pod by its hash. Any user who may create pods can write any hash, so the container must match, and a
   * pod's own uid takes precedence.
   */
  #static(hash: string, containerId: string): Pod | undefined {
    for (const pod of this.#pods.values()) {
      if (pod.hash === hash && pod.containers.some(({ id }) => id === containerId)) return pod
    }
    return undefined
  }

  #tell(pod: Pod): void {
    for (const uid of [pod.uid, pod.hash]) {
      if (uid !== null) for (const changed of [...(this.#watchers.get(uid) ?? [])]) changed()
    }
  }
}
