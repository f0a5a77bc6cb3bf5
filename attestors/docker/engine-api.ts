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

/** What happened to a container. */
export interface EngineEvent {
  readonly containerId: string
  /** `started`: it has a first process. `ended`: it has none any more. `renamed`: it is to be looked at again. */
  readonly what: 'started' | 'ended' | 'renamed'
}

/** Environment, mounts and labels of a container make some 10 KB; labels are only bounded by what a client sends. */
const MAX_INSPECT_BYTES = 4 * 1024 * 1024
const MAX_EVENT_BYTES = 1024 * 1024
/** For the beginning of the stream; then it lasts. */
const EVENTS_TIMEOUT_MS = 5_000

/** Docker's words, and podman's where they differ. */
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

/** The Engine API of Docker or podman on its Unix socket; only reading. All failures are `platform.unavailable`. */
export class EngineApi {
  constructor(private readonly options: EngineApiOptions) {}

  get socketPath(): string {
    return this.options.socketPath
  }

  /** The container of this id, or of the only one that begins so; null where the engine knows none. */
  async inspect(id: string, timeoutMs: number, signal: AbortSignal): Promise<Inspected | null> {
    if (!/^[0-9a-f]{12,64}$/.test(id)) throw new TypeError(`not the id of a container: ${id}`)
    const request = this.#get(`/containers/${id}/json`, { timeoutMs, maxBytes: MAX_INSPECT_BYTES, signal })
    const { status, body } = await this.#ask(() => this.options.http.request(request), signal)
    if (status === 404) return null
    if (status !== 200) throw refused(this.socketPath, status)
    const inspected = parseInspected(body.toString('utf8'))
    // A name may look like the id of another container.
    return inspected.id.startsWith(id) ? inspected : null
  }

  /**
   * The labels that an image was built with, by its id (64 hex digits) and, where the engine names one, the platform that
   * runs. An engine that does not show them (a proxy in front refuses, the image was removed) is `platform.unavailable`.
   */
  async imageLabels(id: string, platform: string | null, timeoutMs: number, signal: AbortSignal): Promise<Labels> {
    if (!/^[0-9a-f]{64}$/.test(id)) throw new TypeError(`not the id of an image: ${id}`)
    const query = platform === null ? '' : `?platform=${encodeURIComponent(platform)}`
    const request = this.#get(`/images/sha256:${id}/json${query}`, { timeoutMs, maxBytes: MAX_INSPECT_BYTES, signal })
    const { status, body } = await this.#ask(() => this.options.http.request(request), signal)
    if (status !== 200) throw refused(this.socketPath, status)
    return parseImageLabels(body.toString('utf8'))
  }

  /** What happens to containers from now on, for as long as the engine and the signal live; `opened` once it is on. */
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

/** There is no engine at all: nobody listens, or not even a socket is there. */
export function isAbsent(error: unknown): boolean {
  return isError(error, 'platform.unavailable') && error.details.reason === 'ENOENT'
}

/** Events of other kinds, and what is none, are of no concern. */
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
