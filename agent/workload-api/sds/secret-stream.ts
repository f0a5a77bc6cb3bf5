import { randomBytes } from 'node:crypto'
import type { Message } from '@bufbuild/protobuf'
import type { ErrorCode } from '../../errors.js'
import type { ApiEvents, Method } from '../../observability/api-events.js'
import type { SdsEvents } from '../../observability/sds-events.js'
import type { Snapshot } from '../../svids/snapshot.js'
import type { ViewSvid } from '../../svids/view.js'
import { type Decision, type DecisionInput, entitlement, type Refusal } from '../decision.js'
import { MALFORMED, TOO_LARGE } from '../service.js'
import { isDenial } from '../status.js'
import type { StreamKind } from '../stream.js'
import type { StreamsOptions } from '../streams.js'
import type { Workload } from '../workload.js'
import { EVERYTHING, type Finding, type FindOptions, findSecrets } from './find.js'
import { validationOf } from './node.js'
import type { Protocol, SecretExchange } from './protocols.js'
import { type SdsSecret, SECRET_TYPE, type Validation } from './secrets.js'
import type { Update } from './subscription.js'

export interface SecretStreamOptions extends Pick<FindOptions, 'names' | 'secrets'> {
  /** Read at each decision: a reload may change it. */
  readonly settings: Pick<StreamsOptions, 'allowUnauthenticatedVerifiers'>
  readonly snapshot: () => Snapshot
  readonly workload: Workload
  /** The default, unless the client's node message requires another one. */
  readonly validation: Validation
  readonly events: SdsEvents
  readonly apiEvents: Pick<ApiEvents, 'denied' | 'servesX509'>
}

/** Refusals that end a stream. With others the stream waits, because an Envoy whose stream ends retries late. */
const ENDS: ReadonlySet<ErrorCode> = new Set([
  'agent.stopping',
  'caller.exited',
  'caller.executable_changed',
  'caller.ids_changed',
  'caller.foreign_pid_namespace',
])
/** Decision interval for states without a notification (a process that cannot be checked). */
const LOOK_AGAIN_MS = 5_000
/** Limit of names of one stream. */
const MOST_NAMES = 1_000
const MOST_NAME_BYTES = 128 * 1024

/** Limit of names and reasons that are logged for one stream. */
const MOST_TOLD = 64

/** Sends the requested secrets on one stream of the Secret Discovery Service, as soon as the caller is entitled to them. */
export class SecretStream implements StreamKind {
  readonly method: Method
  readonly dialect = 'sds'
  readonly #exchange: SecretExchange
  #validation: Validation
  /** Why the stream must end. */
  #invalid: Refusal | null = null
  /** By name, entry ids of the last content sent. */
  readonly #served = new Map<string, readonly string[]>()
  /** Findings of the last decision, until they are sent. */
  #findings: ReadonlyMap<string, Finding> = new Map()
  #update: Update<SdsSecret> | null = null
  /** The last update that was sent. */
  #sent: Update<SdsSecret> | null = null
  /** Names and reasons that were logged. */
  readonly #told = new Set<string>()

  constructor(
    protocol: Protocol,
    private readonly options: SecretStreamOptions,
  ) {
    this.method = protocol.method
    this.#exchange = protocol.open()
    this.#validation = options.validation
  }

  /** Handles a request, for the next decision. False: an unexpected one, which a client could send without limit. */
  read(message: Message): boolean {
    const { workload, events } = this.options
    const request = this.#readable(message)
    if (!request) return true
    if (request.node && validationOf(request.node) === 'plain') this.#validation = 'plain'
    const { rejected, expected } = this.#exchange.read(message)
    if (rejected) events.rejected(this.method, workload.caller, rejected)
    const { all, names } = this.#exchange.wanted ?? { all: false, names: new Set<string>() }
    const refused = refusalOf({ typeUrl: request.typeUrl, names })
    if (refused) this.end(refused)
    for (const name of this.#served.keys()) {
      if (name === EVERYTHING ? !all : !names.has(name)) this.#served.delete(name)
    }
    return expected
  }

  /** Ends the stream at the next decision. */
  end(refusal: Refusal): void {
    this.#invalid = refusal
  }

  decide(input: DecisionInput): Decision {
    const { names, secrets, settings, snapshot } = this.options
    const { wanted } = this.#exchange
    this.#update = null
    if (this.#invalid) return { kind: 'refuse', ...this.#invalid }
    const denied = entitlement(input)
    if (denied?.kind === 'refuse' && ENDS.has(denied.code)) return denied
    if (!wanted) return waiting('request.invalid', 'no request has been received yet')
    this.#findings = findSecrets(wanted, {
      input,
      snapshot: snapshot(),
      names,
      secrets,
      validation: this.#validation,
      openToAll: settings.allowUnauthenticatedVerifiers,
      served: (name) => this.#served.get(name),
    })
    return this.#lost() ?? this.#answer()
  }

  content(): object {
    const content = this.#update ?? this.#sent
    if (!content) throw new TypeError('there is nothing to send')
    return content
  }

  encode(content: object): Buffer {
    const update = content as Update<SdsSecret>
    const nonce = randomBytes(8).toString('hex')
    this.#exchange.sent(update, nonce)
    this.#sent = update
    for (const [name, finding] of this.#findings) if (finding.kind === 'found') this.#served.set(name, finding.ids)
    return this.#exchange.encode(update, nonce)
  }

  serves(to: Workload, content: object): void {
    const svids = svidsIn(content as Update<SdsSecret>)
    if (svids.length > 0) this.options.apiEvents.servesX509(to, svids)
  }

  /** Ends the stream if the caller is no longer entitled to a secret that it has: the protocol cannot withdraw one. */
  #lost(): Decision | null {
    for (const [name, finding] of this.#findings) {
      if (finding.kind === 'refuse' && isDenial(finding.code) && this.#served.has(name)) return finding
    }
    return null
  }

  #answer(): Decision {
    const available: SdsSecret[] = []
    let wait: Decision | null = null
    for (const [name, finding] of this.#findings) {
      if (finding.kind === 'found') available.push(...finding.secrets)
      else wait ??= this.#wait(name, finding)
    }
    const seen = new Set<string>()
    this.#update = this.#exchange.next(available.filter(({ name }) => !seen.has(name) && seen.add(name)))
    // Content that was already sent is not sent again.
    if (this.#update || (this.#sent && !wait)) return { kind: 'send', ids: [] }
    return wait ?? waiting('request.invalid', 'nothing is subscribed to')
  }

  #wait(name: string, finding: Exclude<Finding, { kind: 'found' }>): Decision {
    if (finding.kind === 'hold') return finding
    if (finding.kind === 'never') {
      this.#once(name, () =>
        this.options.events.cannotServe(this.method, this.options.workload.caller, name, finding.why),
      )
      return waiting('request.invalid', finding.why)
    }
    if (isDenial(finding.code)) {
      const refusal = { code: finding.code, message: `${finding.message}; the stream waits` }
      const { workload, apiEvents } = this.options
      this.#once(finding.code, () => apiEvents.denied(this.method, refusal, workload.denial(refusal)))
    }
    return waiting(finding.code, finding.message)
  }

  #once(what: string, tell: () => void): void {
    if (this.#told.has(what) || this.#told.size >= MOST_TOLD) return
    this.#told.add(what)
    tell()
  }

  /** Null if the stream must end. */
  #readable(message: Message): ReturnType<SecretExchange['request']> | null {
    if (message === TOO_LARGE) this.end({ code: 'request.too_many', message: 'the request is too large; send less' })
    else if (message === MALFORMED) this.end({ code: 'request.invalid', message: 'the request cannot be read' })
    else {
      const request = this.#exchange.request(message)
      const refused = refusalOf(request)
      if (!refused) return request
      this.end(refused)
    }
    return null
  }
}

/** Why such a request, or so many names, is refused; null: it is not. */
export function refusalOf({ typeUrl, names }: { typeUrl: string; names: Iterable<string> }): Refusal | null {
  if (typeUrl !== '' && typeUrl !== SECRET_TYPE) {
    return { code: 'request.invalid', message: `only resources of the type ${SECRET_TYPE} are served` }
  }
  let [count, bytes] = [0, 0]
  for (const name of names) {
    count++
    bytes += Buffer.byteLength(name)
  }
  if (count <= MOST_NAMES && bytes <= MOST_NAME_BYTES) return null
  const most = `at most ${MOST_NAMES} names of ${MOST_NAME_BYTES / 1024} KiB together`
  return { code: 'request.too_many', message: `a request and a stream may hold ${most}` }
}

export function svidsIn({ secrets }: Update<SdsSecret>): readonly ViewSvid[] {
  return secrets.flatMap(({ svid }) => svid ?? [])
}

function waiting(code: ErrorCode, message: string): Decision {
  return { kind: 'hold', forMs: LOOK_AGAIN_MS, reason: { code, message } }
}
