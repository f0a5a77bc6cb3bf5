import { AgentError, messageOf } from '../../agent/errors.js'
import { delay } from '../../agent/lib/backoff.js'
import type { EngineEvents } from '../../agent/observability/engine-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Files } from '../../agent/ports/files.js'
import type { Random } from '../../agent/ports/random.js'
import { type FirstProcess, firstProcess } from './claim.js'
import { type EngineApi, isAbsent } from './engine-api.js'
import type { ImageLabels, LabelsOfImage } from './image-labels.js'
import type { Inspected } from './inspected.js'

export interface LookUpOptions {
  readonly api: Pick<EngineApi, 'inspect' | 'socketPath'>
  readonly files: Pick<Files, 'read'>
  readonly clock: Clock
  readonly random: Random
  readonly events: EngineEvents
  readonly images: Pick<ImageLabels, 'of'>
  /** Whether the labels of the container's image matter. */
  readonly imageMatters: (container: Inspected) => boolean
}

export type Looked =
  | {
      readonly kind: 'found'
      readonly container: Inspected
      readonly first: FirstProcess
      /** Null if they do not matter. */
      readonly image: LabelsOfImage | null
    }
  /** Known for certain: the engine knows no such container, or it has ended. */
  | { readonly kind: 'absent'; readonly why: string }
  /** It cannot be determined now. */
  | { readonly kind: 'unknown'; readonly why: string }

const TRIES = 3
/** The first pause is 100 ms on average, the second twice that. */
const PAUSE_MS = 133
/** For all attempts together. Waiting callers have their own deadlines; a slow answer still serves the next one. */
const DEADLINE_MS = 10_000
/** Timeout for the image, in addition to the deadline. */
const IMAGE_MS = 2_000
/** Pause before the second check: an engine notices the end of a process within milliseconds. */
const SECOND_LOOK_MS = 100
const MAX_PROC_BYTES = 1024 * 1024

/** Inspects a container at the engine, and its first process in /proc. */
export class LookUp {
  constructor(private readonly options: LookUpOptions) {}

  /**
   * `careful`: checks twice, in case the first process exited between the engine's answer and reading /proc, and another
   * process got its pid. Throws only the signal's reason.
   */
  async container(id: string, careful: boolean, signal: AbortSignal): Promise<Looked> {
    const { clock, random } = this.options
    const end = clock.monotonic() + DEADLINE_MS
    let why = ''
    for (let tried = 1; ; tried++) {
      const looked = await this.#once(id, careful, end - clock.monotonic(), signal)
      if (looked.kind === 'found') {
        const ms = Math.max(IMAGE_MS, end - clock.monotonic())
        return { ...looked, image: await this.#image(looked.container, ms, signal) }
      }
      if (looked.kind !== 'unknown') return looked
      why = looked.why
      const pause = delay(tried, { baseMs: PAUSE_MS }, random.fraction())
      if (tried === TRIES || clock.monotonic() + pause >= end) return { kind: 'unknown', why }
      await clock.sleep(pause, signal)
    }
  }

  async #once(id: string, careful: boolean, ms: number, signal: AbortSignal): Promise<Looked> {
    try {
      const looked = await this.#look(id, ms, signal)
      if (!careful || looked.kind !== 'found') return looked
      await this.options.clock.sleep(SECOND_LOOK_MS, signal)
      const again = await this.#look(id, ms, signal)
      if (again.kind !== 'found' || sameRun(looked.container, again.container)) return again
      return { kind: 'unknown', why: 'the container is being started again' }
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof AgentError)) throw error
      return { kind: 'unknown', why: messageOf(error) }
    }
  }

  async #look(id: string, ms: number, signal: AbortSignal): Promise<Looked> {
    const container = await this.#inspect(id, Math.max(1, ms), signal)
    if (!container) return { kind: 'absent', why: 'the container engine knows no such container' }
    if (container.state === 'ended') return { kind: 'absent', why: 'the container has ended' }
    const first = container.state === 'running' ? await this.#firstProcess(container.pid) : null
    if (!first) return { kind: 'unknown', why: 'the container has no first process (yet, or any more)' }
    return { kind: 'found', container, first, image: null }
  }

  async #image(container: Inspected, ms: number, signal: AbortSignal): Promise<LabelsOfImage | null> {
    const { images, imageMatters } = this.options
    return imageMatters(container) ? await images.of(container, ms, signal) : null
  }

  async #inspect(id: string, ms: number, signal: AbortSignal): Promise<Inspected | null> {
    const { api, events } = this.options
    try {
      const inspected = await api.inspect(id, ms, signal)
      events.answers(api.socketPath)
      return inspected
    } catch (error) {
      if (!signal.aborted) events.away(error, isAbsent(error))
      throw error
    }
  }

  async #firstProcess(pid: number): Promise<FirstProcess | null> {
    const cgroup = await this.#read(pid, 'cgroup')
    return cgroup === null ? null : firstProcess(cgroup, (await this.#mountinfo(pid)) ?? '')
  }

  /** Needed for few containers only; if it cannot be read, only those are not recognised. */
  async #mountinfo(pid: number): Promise<string | null> {
    try {
      return await this.#read(pid, 'mountinfo')
    } catch (error) {
      if (error instanceof AgentError) return null
      throw error
    }
  }

  async #read(pid: number, file: string): Promise<string | null> {
    const content = await this.options.files.read(`/proc/${pid}/${file}`, { maxBytes: MAX_PROC_BYTES })
    return content?.toString('utf8') ?? null
  }
}

function sameRun(one: Inspected, other: Inspected): boolean {
  return one.pid === other.pid && one.startedAt === other.startedAt
}
