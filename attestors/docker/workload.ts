import type { AttestorResult, Note, WorkloadAttestor } from '../../agent/attestation/attestor.js'
import type { Caller } from '../../agent/attestation/caller.js'
import { codeOf } from '../../agent/errors.js'
import type { Selectors } from '../../agent/identity/selector.js'
import type { EngineEvents } from '../../agent/observability/engine-events.js'
import type { Kernel } from '../../agent/ports/kernel.js'
import { type Container, type ContainerOf, containerOf } from '../shared/cgroup.js'
import { mountedContainer, rootMount } from '../shared/mountinfo.js'
import { type Claim, claimOf } from './claim.js'
import type { Containers } from './containers.js'
import type { Watcher } from './watchers.js'

export interface DockerWorkloadOptions {
  readonly kernel: Pick<Kernel, 'host' | 'ownCgroup'>
  readonly containers: Pick<Containers, 'find' | 'answered' | 'watchers'>
  readonly events: Pick<EngineEvents, 'claimRefused'>
  /** `attestation.docker.authsec_labels`: labels may name an AI agent. */
  readonly authsecLabels: boolean
}

const NAME = 'docker'
const NOTHING: Selectors = new Map()
/** Limit of nested containers; more are probably forged names. */
const MAX_CLAIMS = 4

/**
 * Selectors of a process's container from the container engine. The control group names the container, and is believed
 * only if the container's first process is in it too. docs/attestors/docker.md
 */
export class DockerWorkloadAttestor implements WorkloadAttestor {
  readonly name = NAME
  readonly platforms: readonly string[]
  readonly #watchers = new WeakMap<Caller, Watcher>()

  constructor(private readonly options: DockerWorkloadOptions) {
    this.platforms = options.authsecLabels ? [NAME, 'authsec'] : [NAME]
  }

  /** Throws `caller.exited` if the process exits meanwhile. */
  async attest(caller: Caller, signal: AbortSignal): Promise<AttestorResult> {
    const notes: Note[] = []
    const note = (text: string) => void notes.push({ attestor: NAME, text })
    const place = containerOf(caller.process.read('cgroup'), this.options.kernel.ownCgroup)
    const result = (selectors: Selectors, unavailable: readonly string[]): AttestorResult => {
      // If there has never been an engine, the notes do not mention one.
      const told = this.options.containers.answered || unavailable.length > 0 || place.kind === 'ambiguous'
      return { selectors, unavailable, notes: told ? notes : [] }
    }
    const claims = this.#claims(place, caller, note).slice(0, MAX_CLAIMS)
    const watcher = this.#watchers.get(caller)
    if (watcher) watcher.ids = claims.map(({ containerId }) => containerId)

    for (const claim of claims) {
      const id = claim.containerId
      const found = await this.options.containers.find(claim, signal)
      switch (found.kind) {
        case 'known':
          if (!stillRooted(caller, claim)) {
            note(`container ${id} left out: the process changed its mount namespace during the check`)
            break
          }
          note(`in container ${id}, where its first process is too`)
          for (const text of found.notes) note(text)
          return result(found.selectors, found.incomplete ? this.platforms : [])
        case 'elsewhere':
          note(`container ${id} left out: its first process is not in this control group`)
          this.options.events.claimRefused({ pid: caller.pid, uid: caller.uid, container: id })
          break
        case 'absent':
          note(`container ${id} left out: ${found.why}`)
          break
        case 'unknown':
          note(`container ${id} is unknown: ${found.why}`)
          // While the outer container is unknown, inner ones cannot be distinguished from forgeries.
          return result(NOTHING, this.#concerns(claim) ? this.platforms : [])
      }
    }
    return result(NOTHING, [])
  }

  onChange(caller: Caller, changed: () => void): Disposable {
    const watcher = this.options.containers.watchers.add(changed)
    this.#watchers.set(caller, watcher)
    return watcher
  }

  /** The containers that the process may be in, in order of precedence. */
  #claims(
    found: ContainerOf,
    caller: Caller,
    note: (text: string) => void,
  ): readonly (Claim & { readonly expected: boolean })[] {
    if (found.kind === 'ambiguous') {
      note(`no container: ${found.why}`)
      return []
    }
    if (found.kind === 'none') return this.#mounted(caller, note)
    const claims: (Claim & { expected: boolean })[] = []
    for (const container of [found.container, ...found.others]) {
      // The runtime of a kubelet has no Engine API, and containers inside a pod are the pod's own.
      if (container.runtime === 'containerd' || container.runtime === 'cri-o') {
        note(`container ${container.containerId} belongs to ${container.runtime}, not to the container engine`)
        break
      }
      claims.push({ ...claimOf(container), expected: isExpected(container) })
    }
    return claims
  }

  /** Some runtimes give containers no control group of their own; then the mounts name the container. */
  #mounted({ process }: Caller, note: (text: string) => void): readonly (Claim & { readonly expected: boolean })[] {
    const own = process.namespace('mnt')
    if (own === null || own === this.options.kernel.host.mnt) {
      note('in no container, by its control group')
      return []
    }
    const mountinfo = mountsOf(process)
    const containerId = mountedContainer(mountinfo)
    const root = rootMount(mountinfo)
    if (containerId === null || root === null) {
      note('in no container, by its control group and its mounts')
      return []
    }
    return [{ containerId, places: [], rootMount: root, doubtful: true, expected: false }]
  }

  /** Whether the engine's selectors are unavailable; if there never was an engine, only for containers that are surely its own. */
  #concerns({ expected }: { readonly expected: boolean }): boolean {
    return expected || this.options.containers.answered
  }
}

/**
 * Whether the compared root mount is still the caller's: if the caller has left it, its id may have been reused for the
 * container's.
 */
function stillRooted({ process }: Caller, claim: Claim): boolean {
  return claim.rootMount === null || rootMount(mountsOf(process)) === claim.rootMount
}

/** Empty if there are more mounts than a container has. */
function mountsOf(process: Caller['process']): string {
  try {
    return process.read('mountinfo')
  } catch (error) {
    if (codeOf(error) === 'file.too_large') return ''
    throw error
  }
}

/** A bare id below a pod is probably containerd's: most nodes of Kubernetes have no other engine. */
function isExpected({ runtime, podUid }: Container): boolean {
  return runtime !== 'unknown' || podUid === null
}
