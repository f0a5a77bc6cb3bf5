import { EventEmitter } from 'node:events'
import { create, type Message } from '@bufbuild/protobuf'
import { Metadata, type ServerUnaryCall, type StatusObject, type sendUnaryData } from '@grpc/grpc-js'
import type { Caller } from '../../../agent/attestation/caller.js'
import { Secret } from '../../../agent/crypto/secret.js'
import type { AgentError } from '../../../agent/errors.js'
import type { Entry } from '../../../agent/identity/entry.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { apiEvents } from '../../../agent/observability/api-events.js'
import { Demand } from '../../../agent/svids/demand.js'
import { EntryIndex } from '../../../agent/svids/entry-index.js'
import type { HeldJwt, JwtSubject } from '../../../agent/svids/jwt-cache.js'
import { IdentityStore } from '../../../agent/svids/store.js'
import { spiffeDialect } from '../../../agent/workload-api/dialects/spiffe.js'
import { JwtCalls } from '../../../agent/workload-api/jwt-calls.js'
import type { JwtValidation, ValidJwt } from '../../../agent/workload-api/jwt-validation.js'
import { Sessions } from '../../../agent/workload-api/sessions.js'
import type { Workload, WorkloadState } from '../../../agent/workload-api/workload.js'
import { JWTSVIDRequestSchema, ValidateJWTSVIDRequestSchema } from '../../../proto/gen/spiffe/workload_pb.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'

export const HOLD_MS = 4_000
export const DEADLINE_MS = 10_000
const HEADER = { 'workload.spiffe.io': 'true' }

/** A workload whose fate tests decide. */
export class FakeWorkload implements Workload {
  state: WorkloadState = {
    kind: 'attested',
    selectors: new Map([['unix:uid', '1000']]),
    unavailable: [],
    notes: [],
    waitMs: 0,
    at: 0,
  }
  problem: AgentError | null = null
  readonly ended = false
  readonly caller = { pid: 7, uid: 1000, gid: 1000, groups: [], executable: null } as Partial<Caller> as Caller
  check(): AgentError | null {
    return this.problem
  }
  subscribe(): Disposable {
    return { [Symbol.dispose]: () => undefined }
  }
  reattest(): void {}
  release(): void {}
}

type Ended = { readonly message: Buffer } | { readonly error: StatusObject }
type Handler = ReturnType<JwtCalls['fetch']>

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
  const store = new IdentityStore()
  const workload = new FakeWorkload()
  const events = apiEvents(sinks, clock)
  const sessions = new Sessions(() => workload, {
    store,
    demand: new Demand(clock),
    maxIdentities: 64,
    events,
  })
  sessions.opened('peer', workload.caller, () => undefined)
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
  const open = { calls: 0 }
  const calls = new JwtCalls({
    store,
    sessions,
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
    calls: { callStarted: () => void open.calls++, callEnded: () => void open.calls-- },
  })
  const setEntries = (...entries: Entry[]) =>
    store.publish(
      { synced: true, entries: new Map(entries.map((entry) => [entry.id, entry])), index: new EntryIndex(entries) },
      { entries: 'all', bundles: false },
    )
  const run = (handler: Handler, request: Message, options: CallOptions) => {
    const metadata = new Metadata()
    for (const [key, value] of Object.entries(options.metadata ?? HEADER)) metadata.set(key, value)
    const call = Object.assign(new EventEmitter(), {
      request,
      metadata,
      getPeer: () => 'peer',
      getDeadline: () => options.deadline ?? Number.POSITIVE_INFINITY,
    }) as Partial<ServerUnaryCall<Message, Buffer>> as ServerUnaryCall<Message, Buffer> & EventEmitter
    const ended = new Promise<Ended>((resolve) => {
      const respond: sendUnaryData<Buffer> = (error, message) =>
        resolve(error ? { error: error as StatusObject } : { message: message ?? Buffer.alloc(0) })
      handler(call, respond)
    })
    return { ended, cancel: () => call.emit('cancelled') }
  }
  const fetchHandler = calls.fetch(spiffeDialect)
  const validateHandler = calls.validate(spiffeDialect)
  return {
    ...{ clock, sinks, store, workload, wanted, script, calls, open, setEntries },
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
