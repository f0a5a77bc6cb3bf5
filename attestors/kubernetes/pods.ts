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
  /** As things stand nobody can say; it may be known in a moment. */
  /** `starting`: the pod is known, and has containers that its status does not show as running yet. */
  | { readonly kind: 'unknown'; readonly why: string; readonly starting?: boolean }
  /** Known for certain: there is no such pod on this node. */
  | { readonly kind: 'absent'; readonly why: string }

/** The pod that the agent runs in, by what its environment says: a static pod's uid differs from that in the API. */
export interface OwnPod {
  readonly namespace: string
  readonly name: string
}

/** How long a pod that nobody knows is waited for, with the API in sync, before it counts as absent. */
const GRACE_MS = 5_000
/** A list that was asked for so long after the first question has had its chance to show the pod. */
const LATER_MS = 1_000
const MAX_REMEMBERED = 1_024

/**
 * The pods of this node as the platform last told. Sources write, attestors read. What was known stays known while the
 * platform is away: only what it says withdraws anything.
 */
export class Pods {
  readonly #pods = new Map<string, Pod>()
  readonly #watchers = new Map<string, Set<() => void>>()
  readonly #sleepers = new Set<() => void>()
  /** Pods that the last list did not show: a kubelet that has just started shows nothing, then static pods alone. */
  readonly #unseen: SecondLook
  /** Pods that were deleted, so that their absence needs no grace. */
  readonly #deleted = new Set<string>()
  /** When somebody first asked for a pod that is unknown. */
  readonly #asked = new Map<string, number>()
  /** Why the pods may be out of date; null while they are in sync. */
  #behind: string | null = 'the pods of this node have not been listed yet'
  #behindSince = Number.NEGATIVE_INFINITY
  #listedAt = Number.NEGATIVE_INFINITY
  #lacksOwn = false

  /** `own`: null where it is not known. */
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

  /** Whether the last list lacked pods that are known: another one, CONFIRM_MS later, decides. */
  get unconfirmed(): boolean {
    return this.#unseen.pending > 0
  }

  /** Whether the last list lacked the agent's own pod, so that what it does not show says nothing. */
  get lacksOwn(): boolean {
    return this.#lacksOwn
  }

  /** How long changes may have been missed, in milliseconds; 0 while in sync, infinite before the first list. */
  get ageMs(): number {
    return this.#behind === null ? 0 : this.clock.monotonic() - this.#behindSince
  }

  /** How many attestations wait for something new. */
  get waiting(): number {
    return this.#sleepers.size
  }

  /** Whether anybody wants to hear of changes. */
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

  /** Mostly one; a pod that is ending may have a successor of the same name. */
  named({ namespace, name }: PodName): readonly Pod[] {
    return [...this.#pods.values()].filter((pod) => pod.namespace === namespace && pod.name === name)
  }

  /** Calls back when the pod of this uid came, changed or went. */
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
   * Resolves when the pod of this uid changes, when the pods were listed again, when the signal aborts, or after `ms`.
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
    // The same selectors stay the same object.
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
   * All pods there are, by a list that was asked for at that (monotonic) time. What it shows counts at once; what it
   * does not show, when a later list agrees, and not at all in a list without the agent's own pod.
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

  /** From now on every change arrives. */
  caughtUp(): void {
    this.#behind = null
  }

  /** Changes may be missed from now on. */
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
      // A process of a pod asks, so there is one: the agent looks at the wrong node.
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
   * A static pod is named by its hash. Anybody who may create pods can write any hash, so the container decides, and a
   * pod's own uid goes first.
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
