import type { WithdrawnSelectors, WorkloadAttestor } from '../agent/attestation/attestor.js'
import type { PlaceFinder } from '../agent/attestation/place.js'
import { aborted, LinkedAbort } from '../agent/lib/abort.js'
import type { AttestorStatus } from '../agent/observability/attestor-events.js'
import { withEngineStatus, withKubernetesStatus } from './attestor-status.js'
import { dockerWorkloads } from './docker/create.js'
import type { AttestorConfig, AttestorWorld } from './index.js'
import { type KubernetesWorkloads, kubernetesWorkloads } from './kubernetes/create.js'
import { placeFinder } from './places.js'
import { systemdWorkloads } from './systemd/create.js'
import { Accounts } from './unix/accounts.js'
import { ExecutableDigests } from './unix/executable.js'
import { UnixWorkloadAttestor } from './unix/workload.js'
import { type Attesting, withdrawnSelectors } from './withdrawn.js'

/** The workload attestors, which also watch their platforms. */
export interface WorkloadAttestors extends Disposable {
  /** The attestors in force. */
  readonly all: readonly WorkloadAttestor[]
  /** Which of them are on, and why the others are off; empty before `run`. */
  statuses(): readonly AttestorStatus[]
  /** Whether Kubernetes has listed the pods of this node since the start; null if it is not used. */
  readonly podsListed: boolean | null
  /** Finds processes by container and pod. */
  readonly places: PlaceFinder
  /** Number of live threads. A thread that is still live a moment after disposal hangs in a system call. */
  readonly threads: number
  /** Runs until the signal aborts; rejects only on a defect. */
  run(signal: AbortSignal): Promise<void>
  /** Creates attestors for other settings, beside those in force; null if nothing changes. */
  prepare(config: AttestorConfig): AttestorChange | null
}

/** Attestors that are not in force yet. Disposing drops them, unless they were committed. */
export interface AttestorChange extends Disposable {
  /** Puts them into force, and returns the withdrawn selectors. The old attestors end by themselves. */
  commit(): WithdrawnSelectors
}

/** One platform with the settings that it was created with. */
interface PlatformPart extends Disposable {
  readonly name: string
  /** Its settings: it is created again only if they differ. */
  readonly settings: string
  /** Null: it is off. */
  readonly attestor: WorkloadAttestor | null
  readonly pods?: Pick<KubernetesWorkloads, 'listed' | 'podsNamed'>
  readonly threads?: () => number
  /** Runs from the commit until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
}

interface Life {
  readonly signal: AbortSignal
  readonly failed: (error: unknown) => void
  readonly running: Map<PlatformPart, { readonly stop: LinkedAbort; readonly ended: Promise<void> }>
}

const NO_PODS = 'the agent runs in no pod (KUBERNETES_SERVICE_HOST), and attestation.kubernetes.source is not kubelet'
const NO_UNITS = 'attestation.unix.method is procfs, and attestation.type is not auto'

/**
 * The workload attestors: each is asked if its platform exists, whatever the type of node attestation. That of systemd is
 * on with `attestation.unix.method: systemd`, and with `attestation.type: auto` if systemd runs.
 */
export function workloadAttestors(config: AttestorConfig, world: AttestorWorld): WorkloadAttestors {
  return new Attestors(config, world)
}

class Attestors implements WorkloadAttestors {
  readonly #make: readonly ((config: AttestorConfig) => Maker)[]
  #settings: AttestorConfig['attestation']
  #parts: readonly PlatformPart[]
  #all: readonly WorkloadAttestor[]
  /** Replaced parts with threads that have not ended. */
  readonly #retired = new Set<PlatformPart>()
  #life: Life | null = null

  constructor(
    config: AttestorConfig,
    private readonly world: AttestorWorld,
  ) {
    const { kernel, clock, readVersioned, fileEvents } = world
    const accounts = new Accounts({ read: readVersioned, clock, root: kernel.host.root, fileEvents })
    this.#make = [
      (of) => unixPart(of, world, accounts),
      (of) => dockerPart(of, world),
      (of) => kubernetesPart(of, world),
      (of) => systemdPart(of, world),
    ]
    this.#settings = snapshot(config)
    this.#parts = this.#make.map((make) => make(config).make())
    this.#all = attestorsOf(this.#parts)
  }

  get all(): readonly WorkloadAttestor[] {
    return this.#all
  }

  get podsListed(): boolean | null {
    return this.#pods?.listed ?? null
  }

  get #pods(): PlatformPart['pods'] | null {
    return this.#parts.find(({ pods }) => pods)?.pods ?? null
  }

  /** Uses the attestors in force at each call. */
  readonly places: PlaceFinder = {
    container: (id) => this.#places.container(id),
    pod: (name, signal) => this.#places.pod(name, signal),
  }

  get #places(): PlaceFinder {
    return placeFinder(this.world.kernel, this.#pods ?? null)
  }

  get threads(): number {
    return [...this.#parts, ...this.#retired].reduce((sum, { threads }) => sum + (threads?.() ?? 0), 0)
  }

  statuses(): readonly AttestorStatus[] {
    return this.world.attestorEvents.statuses()
  }

  run(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const life: Life = { signal, failed: reject, running: new Map() }
      this.#life = life
      for (const part of this.#parts) this.#start(part, Promise.resolve())
      aborted(signal)
        .then(() => Promise.all([...life.running.values()].map(({ ended }) => ended)))
        .then(() => resolve(), reject)
    })
  }

  prepare(config: AttestorConfig): AttestorChange | null {
    const settings = snapshot(config)
    const makers = this.#make.map((make) => make(config))
    const parts = makers.map((maker, i) => {
      const before = this.#parts[i]
      return before?.settings === maker.settings ? before : maker.make()
    })
    const made = parts.filter((part) => !this.#parts.includes(part))
    if (made.length === 0) return null
    let committed = false
    return {
      commit: () => {
        committed = true
        return this.#replace(settings, parts)
      },
      [Symbol.dispose]: () => {
        if (!committed) for (const part of made) part[Symbol.dispose]()
      },
    }
  }

  #replace(settings: AttestorConfig['attestation'], parts: readonly PlatformPart[]): WithdrawnSelectors {
    const before: Attesting = { settings: this.#settings, attestors: this.#all }
    const old = this.#parts
    this.#settings = settings
    this.#parts = parts
    this.#all = attestorsOf(parts)
    parts.forEach((part, i) => {
      const replaced = old[i]
      if (replaced && replaced !== part) this.#start(part, this.#retire(replaced))
    })
    return withdrawnSelectors(before, { settings, attestors: this.#all })
  }

  /** Starts a part after its predecessor has ended, because both report about the same platform. */
  #start(part: PlatformPart, after: Promise<void>): void {
    const life = this.#life
    if (!life) return
    const stop = new LinkedAbort(life.signal)
    const run = async () => {
      await after
      if (!stop.signal.aborted) await part.run(stop.signal)
    }
    const ended = run()
      .catch((error: unknown) => {
        if (!stop.signal.aborted) life.failed(error)
      })
      .finally(() => {
        stop[Symbol.dispose]()
        life.running.delete(part)
      })
    life.running.set(part, { stop, ended })
  }

  /** Resolves when the part has ended. */
  async #retire(part: PlatformPart): Promise<void> {
    const running = this.#life?.running.get(part)
    running?.stop.abort()
    for (const one of this.#retired) if (one.threads?.() === 0) this.#retired.delete(one)
    part[Symbol.dispose]()
    if (part.threads) this.#retired.add(part)
    await running?.ended
  }

  [Symbol.dispose](): void {
    for (const part of this.#parts) part[Symbol.dispose]()
  }
}

/** How to create a part, and the settings that decide whether it must be created. */
interface Maker {
  readonly settings: string
  make(): PlatformPart
}

function maker(settings: unknown, make: (settings: string) => PlatformPart): Maker {
  const text = JSON.stringify(settings)
  return { settings: text, make: () => make(text) }
}

function unixPart(config: AttestorConfig, world: AttestorWorld, accounts: Accounts): Maker {
  const { forgeable, maxExecutableBytes: maxBytes } = config.attestation.unix
  return maker([forgeable, maxBytes], (settings) => {
    const { kernel, clock, events, digestWanted, attestorEvents } = world
    const digests = new ExecutableDigests({ clock, events, maxBytes })
    return {
      name: 'unix',
      settings,
      attestor: new UnixWorkloadAttestor({ kernel, accounts, digests, digestWanted, forgeable }),
      threads: () => digests.threads,
      run: async () => attestorEvents.reportStatus('unix', true, 'the kernel is always there'),
      [Symbol.dispose]: () => digests[Symbol.dispose](),
    }
  })
}

function dockerPart(config: AttestorConfig, world: AttestorWorld): Maker {
  const { tenantId } = config.agent
  const docker = { ...config.attestation.docker }
  return maker(docker, (settings) => {
    const { attestorEvents, engineEvents } = world
    const events = withEngineStatus(engineEvents, attestorEvents, docker.socketPath)
    const containers = dockerWorkloads({ ...world, ...docker, tenantId, events })
    return {
      name: 'docker',
      settings,
      attestor: containers.attestor,
      run: async (signal) => {
        attestorEvents.reportStatus('docker', false, 'not checked yet')
        await containers.run(signal)
      },
      [Symbol.dispose]: () => containers[Symbol.dispose](),
    }
  })
}

function kubernetesPart(config: AttestorConfig, world: AttestorWorld): Maker {
  const { tenantId } = config.agent
  const kubernetes = { ...config.attestation.kubernetes }
  return maker(kubernetes, (settings) => {
    const { attestorEvents, kubernetesEvents } = world
    const fileEvents = world.fileEvents.scope()
    const events = withKubernetesStatus(kubernetesEvents, attestorEvents, kubernetes.nodeName)
    const pods = kubernetesWorkloads({ ...world, fileEvents, settings: kubernetes, tenantId, events })
    return {
      name: 'kubernetes',
      settings,
      attestor: pods?.attestor ?? null,
      ...(pods && { pods }),
      run: async (signal) => {
        if (!pods) attestorEvents.reportStatus('kubernetes', false, NO_PODS)
        else attestorEvents.reportStatus('kubernetes', true, 'the pods of this node have not been listed yet')
        await pods?.run(signal)
      },
      [Symbol.dispose]: () => fileEvents[Symbol.dispose](),
    }
  })
}

function systemdPart(config: AttestorConfig, world: AttestorWorld): Maker {
  const { unix, type } = config.attestation
  const wanted = unix.method === 'systemd' || type === 'auto'
  return maker(wanted, (settings) => {
    const { attestorEvents, kernel } = world
    const units = wanted ? systemdWorkloads({ ...world, events: attestorEvents, root: kernel.host.root }) : null
    return {
      name: 'systemd',
      settings,
      attestor: units,
      run: async (signal) => {
        if (!units) attestorEvents.reportStatus('systemd', false, NO_UNITS)
        await units?.run(signal)
      },
      [Symbol.dispose]: () => undefined,
    }
  })
}

function attestorsOf(parts: readonly PlatformPart[]): readonly WorkloadAttestor[] {
  return parts.flatMap(({ attestor }) => attestor ?? [])
}

/** A copy, because the passed configuration may be a live view. */
function snapshot({ attestation }: AttestorConfig): AttestorConfig['attestation'] {
  const { type, unix, docker, kubernetes } = attestation
  return { type, unix: { ...unix }, docker: { ...docker }, kubernetes: { ...kubernetes } }
}
