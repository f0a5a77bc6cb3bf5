import { setMaxListeners } from 'node:events'
import type { Message } from '@bufbuild/protobuf'
import { type ServerUnaryCall, type StatusObject, status } from '@grpc/grpc-js'
import { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import type { HeldJwt, JwtSubject } from '../svids/jwt-cache.js'
import type { SvidStore } from '../svids/store.js'
import type { Dialect } from './dialects/encode.js'
import { type EntitledOptions, entitledEntries } from './entitled.js'
import type { JwtValidation } from './jwt-validation.js'
import { grpcError, refusalStatus } from './refusal.js'
import type { Identified, UnaryHandler } from './service.js'
import type { Workload } from './workload.js'

/** The consumer's port on JWT-SVIDs. */
export interface JwtSource {
  want(subject: JwtSubject, uid: number, deadlineMs: number, signal: AbortSignal): Promise<HeldJwt>
}

export interface JwtCallsOptions {
  readonly store: SvidStore
  readonly jwt: JwtSource
  readonly validation: JwtValidation
  readonly clock: Clock
  readonly events: ApiEvents
  readonly holdMs: number
  /** The longest duration of a call, whatever its own deadline; of the time until attestation at most `holdMs` counts. */
  readonly deadlineMs: number
  readonly allowUnauthenticatedVerifiers: boolean
}

const MAX_AUDIENCES = 64
const MAX_AUDIENCE_BYTES = 1024

/** A unary call and what its handler needs. */
interface JwtCall {
  readonly request: Message
  readonly dialect: Dialect
  readonly workload: Workload
  readonly method: Method
  readonly signal: AbortSignal
  /** Milliseconds until its deadline. */
  readonly left: () => number
  /** The caller is attested: a longer wait for its platform does not count. */
  readonly known: () => void
}

/** The unary methods of the JWT profile, in both dialects. */
export class JwtCalls {
  #stopping = false

  constructor(private readonly options: JwtCallsOptions) {}

  /** Answers calls with Unavailable from now on. */
  stop(): void {
    this.#stopping = true
  }

  fetch(dialect: Dialect): UnaryHandler<Identified> {
    return this.#handler('FetchJWTSVID', dialect, (call) => this.#fetch(call))
  }

  validate(dialect: Dialect): UnaryHandler<Identified> {
    return this.#handler('ValidateJWTSVID', dialect, (call) => this.#validate(call))
  }

  async #fetch(call: JwtCall): Promise<Buffer> {
    const { store, jwt } = this.options
    const asked = call.dialect.readJwtSvidRequest(call.request)
    const audience = readAudience(asked.audience)
    // ST-03: a malformed request never succeeds.
    const only = asked.spiffeId === '' ? null : SpiffeId.parse(asked.spiffeId)
    const askedFor = (ids: readonly string[]) => {
      const mine = ids.flatMap((id) => store.current.entries.get(id) ?? [])
      return only ? mine.filter(({ spiffeId }) => spiffeId.equals(only)) : mine
    }
    const suffices = (ids: readonly string[]) => askedFor(ids).length > 0
    const entries = oncePerIdentity(askedFor(await this.#entitled(call, { suffices, grants: true })))
    call.known()
    if (entries.length === 0) throw notEntitled()
    const { uid } = call.workload.caller
    // One listener for each requested identity.
    if (entries.length > 1) setMaxListeners(0, call.signal)
    const results = await Promise.allSettled(
      entries.map(({ id, spiffeId }) => jwt.want({ entryId: id, spiffeId, audience }, uid, call.left(), call.signal)),
    )
    // The process may have exited, or lost an identity, during the request.
    const still = new Set(await this.#entitled(call, { suffices, grants: true }))
    const kept = results.filter((_, i) => {
      const { id, spiffeId } = entries[i] as Entry
      return still.has(id) && store.current.entries.get(id)?.spiffeId.equals(spiffeId)
    })
    if (kept.length === 0) throw notEntitled()
    const failures = kept.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    const tokens = kept.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    const failure = failures.find((reason) => !definite(reason)) ?? (tokens.length === 0 ? failures[0] : null)
    if (failure) throw failure
    this.options.events.servesJwt(call.workload, tokens)
    return call.dialect.jwtSvids(tokens)
  }

  async #validate(call: JwtCall): Promise<Buffer> {
    const { audience, svid } = call.dialect.readValidateRequest(call.request)
    if (audience === '') throw new AgentError('request.invalid', 'the audience is missing')
    if (svid === '') throw new AgentError('request.invalid', 'the svid is missing')
    await this.#entitled(call, { openToAll: this.options.allowUnauthenticatedVerifiers })
    return call.dialect.validated(await this.options.validation.validate(new Secret(svid), audience, call.signal))
  }

  #entitled(
    { workload, method, signal }: JwtCall,
    wishes: Pick<EntitledOptions, 'openToAll' | 'suffices' | 'grants'>,
  ): Promise<readonly string[]> {
    const { clock, events, holdMs } = this.options
    const stopping = () => this.#stopping
    return entitledEntries({ workload, method, clock, events, holdMs, signal, stopping, ...wishes })
  }

  #handler(method: Method, dialect: Dialect, answer: (call: JwtCall) => Promise<Buffer>): UnaryHandler<Identified> {
    const { clock, events, holdMs, deadlineMs } = this.options
    const unary: UnaryHandler<Identified>['unary'] = (grpcCall, respond, workload) => {
      const began = clock.monotonic()
      let counted = began
      const allowed = untilDeadline(grpcCall, clock.now())
      const gone = new AbortController()
      const cancelled = () => gone.abort(new AgentError('agent.stopping', 'the client is gone'))
      grpcCall.on('cancelled', cancelled)
      // grpc-js emits `cancelled` at the end of every call; an answered call has nothing to abort.
      const answered = () => void grpcCall.off('cancelled', cancelled)
      const call: JwtCall = {
        request: grpcCall.request,
        dialect,
        workload,
        method,
        signal: gone.signal,
        left: () => {
          const now = clock.monotonic()
          return Math.max(1, Math.min(deadlineMs - (now - counted), allowed - (now - began)))
        },
        known: () => {
          counted = Math.max(counted, clock.monotonic() - holdMs)
        },
      }
      answer(call).then(
        (message) => {
          answered()
          events.unaryEnded(method, 'OK')
          respond(null, message)
        },
        (reason: unknown) => {
          answered()
          const error = asStatus(reason, call, events)
          events.unaryEnded(method, gone.signal.aborted ? 'CANCELLED' : status[error.code])
          respond(error)
        },
      )
    }
    return { unary }
  }
}

/** Sorted and without duplicates, so that equal sets get the same token. Throws `request.invalid`. */
function readAudience(asked: readonly string[]): readonly string[] {
  const audience = [...new Set(asked)].sort()
  if (audience.length === 0 || audience.includes('')) {
    throw new AgentError('request.invalid', 'the audience is missing')
  }
  if (audience.length > MAX_AUDIENCES || audience.some((one) => Buffer.byteLength(one) > MAX_AUDIENCE_BYTES)) {
    throw new AgentError(
      'request.invalid',
      `at most ${MAX_AUDIENCES} audiences of ${MAX_AUDIENCE_BYTES} bytes are accepted`,
    )
  }
  return audience
}

/** One entry for each SPIFFE ID, the oldest: entries with the same SPIFFE ID would give the same token. */
function oncePerIdentity(entries: readonly Entry[]): readonly Entry[] {
  const seen = new Set<string>()
  return entries.filter(({ spiffeId }) => !seen.has(spiffeId.uri) && seen.add(spiffeId.uri))
}

/** Whether the server finally refuses this identity; the caller still gets the others. */
function definite(reason: unknown): boolean {
  return reason instanceof AgentError && ['icp.bad_request', 'icp.forbidden', 'icp.not_found'].includes(reason.code)
}

function untilDeadline(call: ServerUnaryCall<Message, Buffer>, now: number): number {
  const deadline = call.getDeadline()
  return deadline instanceof Date ? deadline.getTime() - now : deadline - now
}

function asStatus(reason: unknown, { workload, method }: JwtCall, events: ApiEvents): Error & StatusObject {
  if (reason instanceof AgentError) return refusalStatus(reason, workload, method, events)
  if (reason instanceof Error && 'code' in reason && 'details' in reason && 'metadata' in reason) {
    return reason as Error & StatusObject
  }
  // A defect: neither requests (test/fuzz/grpc.test.ts) nor answers of the server (test/fuzz/server-json.test.ts) lead here.
  events.handlerFailed(method, reason)
  return { ...grpcError({ code: 'internal', message: 'the call failed within the agent' }), code: status.INTERNAL }
}

function notEntitled(): AgentError {
  return new AgentError('entry.not_entitled', 'the process is not entitled to the SPIFFE ID that it asks for')
}
