import { EventEmitter } from 'node:events'
import { create, type Message } from '@bufbuild/protobuf'
import {
  type handleUnaryCall,
  Metadata,
  type ServerUnaryCall,
  type StatusObject,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { Secret } from '../../../agent/crypto/secret.js'
import type { Entry } from '../../../agent/identity/entry.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { apiEvents } from '../../../agent/observability/api-events.js'
import { EntryIndex } from '../../../agent/svids/entry-index.js'
import type { HeldJwt, JwtSubject } from '../../../agent/svids/jwt-cache.js'
import { Admission } from '../../../agent/workload-api/admission.js'
import { spiffeDialect } from '../../../agent/workload-api/dialects/spiffe.js'
import { JwtCalls } from '../../../agent/workload-api/jwt-calls.js'
import type { JwtValidation, ValidJwt } from '../../../agent/workload-api/jwt-validation.js'
import type { Service } from '../../../agent/workload-api/service.js'
import { JWTSVIDRequestSchema, ValidateJWTSVIDRequestSchema } from '../../../proto/gen/spiffe/workload_pb.js'
import { FakeClock } from '../../fakes/clock.js'
import { connectionOf, registryWith } from '../../fakes/connections.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { FakeWorkload, workloadContext } from '../../fakes/workload.js'

export const HOLD_MS = 4_000
export const DEADLINE_MS = 10_000
const HEADER = { 'workload.spiffe.io': 'true' }

type Ended = { readonly message: Buffer } | { readonly error: StatusObject }
type JwtHandler = handleUnaryCall<Message, Buffer>

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>
  /** Wall-clock milliseconds. */
  readonly deadline?: number
}

export type CallWorld = ReturnType<typeof callWorld>

/** The unary calls of one workload, with tokens from a source that the test scripts. */
export function callWorld({ openToAll = false } = {}) {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const events = apiEvents(sinks, clock)
  const context = workloadContext({ clock, apiEvents: events })
  const { store } = context
  const workload = FakeWorkload.attested({ 'unix:uid': '1000' }, [], context)
  const connections = registryWith(new FakeClock(), () => workload)
  const connection = connectionOf('peer', workload.caller)
  connections.add(connection)
  const wanted: { subject: JwtSubject; deadlineMs: number }[] = []
  const script = {
    token: async (subject: JwtSubject, _signal: AbortSignal): Promise<HeldJwt> => ({
      spiffeId: subject.spiffeId,
      token: new Secret(`token of ${subject.spiffeId.uri}`),
      audience: subject.audience,
      id: `token of ${subject.entryId}`,
      issuedAt: 0,
      expiresAt: Number.MAX_SAFE_INTEGER,
    }),
    validate: async (): Promise<ValidJwt> => ({ spiffeId: 'spiffe://td/web', claims: { sub: 'spiffe://td/web' } }),
  }
  const calls = new JwtCalls({
    store,
    jwt: {
      want: (subject, _uid, deadlineMs, signal) => {
        wanted.push({ subject, deadlineMs })
        return script.token(subject, signal)
      },
    },
    validation: { validate: () => script.validate() } as Partial<JwtValidation> as JwtValidation,
    clock,
    events,
    holdMs: HOLD_MS,
    deadlineMs: DEADLINE_MS,
    allowUnauthenticatedVerifiers: openToAll,
  })
  const setEntries = (...entries: Entry[]) =>
    store.publish(
      { synced: true, entries: new Map(entries.map((entry) => [entry.id, entry])), index: new EntryIndex(entries) },
      { entries: 'all', bundles: false },
    )
  const run = (handler: JwtHandler, request: Message, options: CallOptions) => {
    const metadata = new Metadata()
    for (const [key, value] of Object.entries(options.metadata ?? HEADER)) metadata.set(key, value)
    const call = Object.assign(new EventEmitter(), {
      request,
      metadata,
      getPeer: () => 'peer',
      getDeadline: () => options.deadline ?? Number.POSITIVE_INFINITY,
    }) as Partial<ServerUnaryCall<Message, Buffer>> as ServerUnaryCall<Message, Buffer> & EventEmitter
    const ended = new Promise<Ended>((resolve) => {
      const respond: sendUnaryData<Buffer> = (error, message) => {
        resolve(error ? { error: error as StatusObject } : { message: message ?? Buffer.alloc(0) })
        // As grpc-js does at every end.
        call.emit('cancelled')
      }
      handler(call, respond)
    })
    return { ended, cancel: () => call.emit('cancelled') }
  }
  const service: Service = {
    definition: spiffeDialect.service,
    callers: 'identified',
    requiresHeader: true,
    maxMessageBytes: 65_536,
    streamsPerConnection: 100,
    handlers: { FetchJWTSVID: calls.fetch(spiffeDialect), ValidateJWTSVID: calls.validate(spiffeDialect) },
  }
  const handlers = new Admission([service], connections, events).handlersOf(service)
  const fetchHandler = handlers['FetchJWTSVID'] as JwtHandler
  const validateHandler = handlers['ValidateJWTSVID'] as JwtHandler
  return {
    ...{ clock, sinks, store, workload, wanted, script, calls, connection, setEntries },
    fetch: (audience: readonly string[] = ['db'], spiffeId = '', options: CallOptions = {}) =>
      run(fetchHandler, create(JWTSVIDRequestSchema, { audience: [...audience], spiffeId }), options),
    validate: (svid = 'token', audience = 'db', options: CallOptions = {}) =>
      run(validateHandler, create(ValidateJWTSVIDRequestSchema, { svid, audience }), options),
  }
}

/** An entry that the workload matches, unless it asks for another user. */
export function entry(id: string, path: string, uid = '1000'): Entry {
  return {
    id,
    spiffeId: SpiffeId.parse(`spiffe://td${path}`),
    assigned: true,
    selectors: new Map([['unix:uid', uid]]),
    ttlSeconds: null,
    createdAt: Number(id.slice(1)),
  }
}
