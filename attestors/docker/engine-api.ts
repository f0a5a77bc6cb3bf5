import * as z from 'zod'
import { AgentError, isError, messageOf } from '../../agent/errors.js'
import { jsonOf } from '../../agent/lib/json.js'
import { type HttpClient, HttpError, type HttpRequest } from '../../agent/ports/http.js'
import { linesOf } from '../shared/lines.js'
import { type Inspected, type Labels, parseImageLabels, parseInspected } from './inspected.js'

export interface EngineApiOptions {
  readonly http: Pick<HttpClient, 'request' | 'stream'>
  /** `attestation.docker.socket_path`. */
  readonly socketPath: string
}

/** A change of a container. */
export interface EngineEvent {
  readonly containerId: string
  /** `started`: it has a first process. `ended`: it has none any more. `renamed`: it must be inspected again. */
  readonly what: 'started' | 'ended' | 'renamed'
}

/** A container's description usually has some 10 KB, but a client may give it labels of any size. */
const MAX_INSPECT_BYTES = 4 * 1024 * 1024
const MAX_EVENT_BYTES = 1024 * 1024
/** Until the stream begins. */
const EVENTS_TIMEOUT_MS = 5_000

/** Actions of Docker, and those of podman if they differ. */
const ACTIONS: ReadonlyMap<string, EngineEvent['what']> = new Map([
  ['start', 'started'],
  ['die', 'ended'],
  ['died', 'ended'],
  ['destroy', 'ended'],
  ['remove', 'ended'],
  ['rename', 'renamed'],
])
const FILTERS = JSON.stringify({ type: ['container'], event: ['start', 'die', 'died', 'destroy', 'remove', 'rename'] })

const event = z.object({ Action: z.string(), Actor: z.object({ ID: z.string().regex(/^[0-9a-f]{64}$/) }) })

/** The Engine API of Docker or podman on its Unix socket; read-only. All failures are `platform.unavailable`. */
export class EngineApi {
  constructor(private readonly options: EngineApiOptions) {}

  get socketPath(): string {
    return this.options.socketPath
  }

  /** The container with this id, or with this unique prefix of an id; null if the engine knows none. */
  async inspect(id: string, timeoutMs: number, signal: AbortSignal): Promise<Inspected | null> {
    if (!/^[0-9a-f]{12,64}$/.test(id)) throw new TypeError(`not the id of a container: ${id}`)
    const request = this.#get(`/containers/${id}/json`, { timeoutMs, maxBytes: MAX_INSPECT_BYTES, signal })
    const { status, body } = await this.#ask(() => this.options.http.request(request), signal)
    if (status === 404) return null
    if (status !== 200) throw refused(this.socketPath, status)
    const inspected = parseInspected(body.toString('utf8'))
    // The engine also finds containers by name, and a name may look like an id.
    return inspected.id.startsWith(id) ? inspected : null
  }

  /**
   * The labels that an image was built with, by its id (64 hex digits) and, if the engine names one, its platform. If the
   * engine does not return them (a proxy in front refuses, the image was removed), it throws `platform.unavailable`.
   */
  async imageLabels(id: string, platform: string | null, timeoutMs: number, signal: AbortSignal): Promise<Labels> {
    if (!/^[0-9a-f]{64}$/.test(id)) throw new TypeError(`not the id of an image: ${id}`)
    const query = platform === null ? '' : `?platform=${encodeURIComponent(platform)}`
    const request = this.#get(`/images/sha256:${id}/json${query}`, { timeoutMs, maxBytes: MAX_INSPECT_BYTES, signal })
    const { status, body } = await this.#ask(() => this.options.http.request(request), signal)
    if (status !== 200) throw refused(this.socketPath, status)
    return parseImageLabels(body.toString('utf8'))
  }

  /** Changes of containers from now on, until the engine or the signal ends; calls `opened` when the stream is open. */
  async *events(opened: () => void, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    const path = `/events?filters=${encodeURIComponent(FILTERS)}`
    const request = this.#get(path, { timeoutMs: EVENTS_TIMEOUT_MS, maxBytes: MAX_EVENT_BYTES, signal })
    using stream = await this.#ask(() => this.options.http.stream(request), signal)
    if (stream.status !== 200) throw refused(this.socketPath, stream.status)
    opened()
    const lines = linesOf(stream.body, MAX_EVENT_BYTES)
    for (;;) {
      const { done, value } = await this.#ask(() => lines.next(), signal)
      if (done) return
      const parsed = parseEvent(value)
      if (parsed) yield parsed
    }
  }

  #get(path: string, rest: Pick<HttpRequest, 'timeoutMs' | 'maxBytes'> & { signal: AbortSignal }): HttpRequest {
    const { socketPath } = this.options
    return { method: 'GET', url: `http://localhost${path}`, unixSocket: socketPath, withoutIdentity: true, ...rest }
  }

  async #ask<T>(what: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await what()
    } catch (cause) {
      signal.throwIfAborted()
      if (!(cause instanceof HttpError)) throw cause
      const advice = cause.details.reason === 'EACCES' ? '; the agent runs as a user who may not use it' : ''
      throw new AgentError(
        'platform.unavailable',
        `the container engine does not answer: ${messageOf(cause)}${advice}`,
        {
          cause,
          details: { ...cause.details },
        },
      )
    }
  }
}

/** No engine exists: the socket is missing, or no process listens. */
export function isAbsent(error: unknown): boolean {
  return isError(error, 'platform.unavailable') && error.details.reason === 'ENOENT'
}

/** Null for events of other kinds, and for lines that are not events. */
function parseEvent(line: string): EngineEvent | null {
  const { data } = event.safeParse(jsonOf(line))
  const what = data && ACTIONS.get(data.Action)
  return what ? { containerId: data.Actor.ID, what } : null
}

function refused(socketPath: string, status: number): AgentError {
  return new AgentError('platform.unavailable', `the container engine at ${socketPath} answered ${status}`, {
    details: { status },
  })
}
