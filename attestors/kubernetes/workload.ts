import type { AttestorResult, WorkloadAttestor } from '../../agent/attestation/attestor.js'
import type { Caller } from '../../agent/attestation/caller.js'
import type { Selectors } from '../../agent/identity/selector.js'
import type { ContainerOf } from '../shared/cgroup.js'
import type { PodContainer } from './pod.js'
import { placeOf, type Where } from './pod-id.js'
import type { FoundPod, Pods } from './pods.js'
import { type PodSelectors, type SelectorSettings, selectorsOf } from './selectors.js'
import type { PodSource } from './source.js'

export interface KubernetesWorkloadOptions {
  /** The container that a process is in, by its control groups. */
  readonly locate: (caller: Caller) => ContainerOf
  readonly pods: Pods
  readonly source: Pick<PodSource, 'want' | 'current'>
  readonly settings: SelectorSettings
  /** How long a caller waits until its container is in the status of its known pod, in milliseconds. */
  readonly containerWaitMs: number
}

const NAME = 'kubernetes'
const PLATFORMS = ['k8s', 'node']
/** How often a waiting attestation checks without a notification. */
const LOOK_MS = 1_000
const NO_SELECTORS: Selectors = new Map()

/** Selectors of a process in a pod of this node. docs/attestors/kubernetes.md */
export class KubernetesWorkloadAttestor implements WorkloadAttestor {
  readonly name = NAME
  readonly platforms: readonly string[]
  /** A container object is replaced when anything of its pod changes, so its selectors can be cached by it. */
  readonly #selectors = new WeakMap<PodContainer, PodSelectors>()

  constructor(private readonly options: KubernetesWorkloadOptions) {
    const vouches = options.settings.authsecNamespaces.length > 0
    this.platforms = vouches ? [...PLATFORMS, 'authsec'] : PLATFORMS
  }

  /**
   * Waits until the signal aborts for a pod that is not known yet; then the platform is unavailable, which denies no caller.
   * A known container costs no request. Throws `caller.exited` if the process has exited.
   */
  async attest(caller: Caller, signal: AbortSignal): Promise<AttestorResult> {
    const where = this.#where(caller)
    if (where.kind === 'none') return result(NO_SELECTORS, [], where.why)
    const { pods, source } = this.options
    await source.current(signal)
    for (;;) {
      const found = this.#find(where)
      if (found.kind === 'known') return this.#known(found)
      if (found.kind === 'absent') return result(NO_SELECTORS, [], found.why)
      if (signal.aborted) {
        const waitMs = found.starting ? this.options.containerWaitMs : 0
        return { ...result(NO_SELECTORS, this.platforms, found.why), waitMs }
      }
      source.want()
      await pods.next(where.places[0].podUid, LOOK_MS, signal)
    }
  }

  /** Watches the caller's pod. Throws `caller.exited`. */
  onChange(caller: Caller, changed: () => void): Disposable {
    const where = this.#where(caller)
    const watches =
      where.kind === 'none' ? [] : where.places.map(({ podUid }) => this.options.pods.watch(podUid, changed))
    return {
      [Symbol.dispose]: () => {
        for (const watch of watches) watch[Symbol.dispose]()
      },
    }
  }

  #where(caller: Caller): Where {
    return placeOf(this.options.locate(caller))
  }

  #find({ places: [first, ...others] }: Where & { kind: 'pod' }): FoundPod {
    const { pods } = this.options
    const found = pods.find(first)
    if (found.kind === 'known') return found
    return others.map((place) => pods.find(place)).find(({ kind }) => kind === 'known') ?? found
  }

  #known({ pod, container }: FoundPod & { kind: 'known' }): AttestorResult {
    const { selectors, notes } = this.#selectors.get(container) ?? selectorsOf(pod, container, this.options.settings)
    this.#selectors.set(container, { selectors, notes })
    return result(selectors, [], `container ${container.name} of pod ${pod.namespace}/${pod.name}`, ...notes)
  }
}

function result(selectors: Selectors, unavailable: readonly string[], ...texts: readonly string[]): AttestorResult {
  return { selectors, unavailable, notes: texts.map((text) => ({ attestor: NAME, text })) }
}
