import type { DeltaDiscoveryRequest, DiscoveryRequest } from '../../../proto/gen/envoy/discovery_pb.js'

/** A secret with its version; equal versions mean equal content. */
export interface Versioned {
  readonly name: string
  readonly version: string
}

/** The secrets that a stream requests. `all`: every SVID and bundle, by SPIFFE ID. */
export interface WantedSecrets {
  readonly all: boolean
  readonly names: ReadonlySet<string>
}

/** The content of one response. */
export interface Update<S extends Versioned> {
  readonly secrets: readonly S[]
  /** Names that were sent before and no longer exist; only DeltaSecrets can express them. */
  readonly removed: readonly string[]
}

/** The result of reading a request. */
export interface RequestOutcome {
  /** The client rejected the last response, which had these names. */
  readonly rejected: { readonly names: readonly string[]; readonly code: number; readonly message: string } | null
  /** True for the first request and the first answer to a response; a client could send others without limit. */
  readonly expected: boolean
}

/** The protocol state of one stream: what is subscribed to, what was sent, which response is unanswered. */
export interface Subscription<Request, S extends Versioned> {
  /** Null before the first request. */
  readonly wanted: WantedSecrets | null
  read(request: Request): RequestOutcome
  /** The next update, given the available secrets of the wanted names; null: nothing to send. */
  next(available: readonly S[]): Update<S> | null
  sent(update: Update<S>, nonce: string): void
}

type StateRequest = Pick<DiscoveryRequest, 'resourceNames' | 'responseNonce' | 'errorDetail'>
type DeltaRequest = Pick<
  DeltaDiscoveryRequest,
  'resourceNamesSubscribe' | 'resourceNamesUnsubscribe' | 'responseNonce' | 'errorDetail'
>

const WILDCARD = '*'

/** The unanswered response. */
class InFlight {
  #nonce = ''
  #names: readonly string[] = []
  #answered = true

  sent(nonce: string, names: readonly string[]): void {
    this.#nonce = nonce
    this.#names = names
    this.#answered = false
  }

  /** Null if the request answers an older response. */
  read({ responseNonce, errorDetail }: Pick<StateRequest, 'responseNonce' | 'errorDetail'>): RequestOutcome | null {
    if (responseNonce !== this.#nonce) return null
    const expected = !this.#answered
    this.#answered = true
    return { rejected: errorDetail ? { names: this.#names, ...errorDetail } : null, expected }
  }
}

/**
 * StreamSecrets: each request lists all wanted names, each response has all of them that are available. A request is used
 * if it is the first, has no nonce, or the nonce of the last response; others were sent before that response arrived. The
 * version in a request is ignored: on a new stream it is that of an earlier stream, perhaps of another agent.
 */
export class StateSubscription<S extends Versioned> implements Subscription<StateRequest, S> {
  #wanted: WantedSecrets | null = null
  /** The next response is sent even if its content is unchanged. */
  #due = false
  readonly #inFlight = new InFlight()
  readonly #versions = new Map<string, string>()

  get wanted(): WantedSecrets | null {
    return this.#wanted
  }

  read(request: StateRequest): RequestOutcome {
    const first = this.#wanted === null
    const anew = first || request.responseNonce === ''
    const reading = anew ? { rejected: null, expected: first } : this.#inFlight.read(request)
    if (!reading) return { rejected: null, expected: false }
    const wanted = wantedOf(request.resourceNames)
    const other = !this.#wanted || !sameWanted(this.#wanted, wanted)
    if (anew || other) {
      this.#wanted = wanted
      this.#due = true
    }
    return { ...reading, expected: reading.expected && (first || !other) }
  }

  next(available: readonly S[]): Update<S> | null {
    const changed = available.some(({ name, version }) => this.#versions.get(name) !== version)
    // A subscriber to everything learns by their absence that secrets were removed.
    const gone = this.#wanted?.all && this.#versions.size > available.length
    const send = this.#due || changed || gone
    return send && available.length > 0 ? { secrets: available, removed: [] } : null
  }

  sent({ secrets }: Update<S>, nonce: string): void {
    this.#due = false
    if (this.#wanted?.all) this.#versions.clear()
    for (const { name, version } of secrets) this.#versions.set(name, version)
    this.#inFlight.sent(
      nonce,
      secrets.map(({ name }) => name),
    )
  }
}

/**
 * DeltaSecrets: requests add and remove names, responses have what is new to the client. Names are used whatever the
 * nonce, which only answers a response. A name that is subscribed to again is sent again.
 */
export class DeltaSubscription<S extends Versioned> implements Subscription<DeltaRequest, S> {
  #wanted: { all: boolean; readonly names: Set<string> } | null = null
  readonly #inFlight = new InFlight()
  readonly #versions = new Map<string, string>()

  get wanted(): WantedSecrets | null {
    return this.#wanted
  }

  read(request: DeltaRequest): RequestOutcome {
    const { resourceNamesSubscribe, resourceNamesUnsubscribe } = request
    const first = this.#wanted === null
    const wanted = this.#wanted ?? { all: resourceNamesSubscribe.length === 0, names: new Set() }
    this.#wanted = wanted
    for (const name of resourceNamesUnsubscribe) {
      if (name === WILDCARD) wanted.all = false
      else wanted.names.delete(name)
      this.#versions.delete(name)
    }
    for (const name of resourceNamesSubscribe) {
      if (name === WILDCARD) this.#subscribeToAll(wanted)
      else if (name !== '') wanted.names.add(name)
      this.#versions.delete(name)
    }
    const changes = resourceNamesSubscribe.length + resourceNamesUnsubscribe.length > 0
    const reading = first ? { rejected: null, expected: true } : this.#inFlight.read(request)
    return { rejected: reading?.rejected ?? null, expected: first || (reading?.expected === true && !changes) }
  }

  next(available: readonly S[]): Update<S> | null {
    const secrets = available.filter(({ name, version }) => this.#versions.get(name) !== version)
    const there = new Set(available.map(({ name }) => name))
    // A name that the client requested stays pending; one from a request for everything is reported as removed.
    const removed = this.#wanted?.all
      ? [...this.#versions.keys()].filter((name) => !there.has(name) && !this.#wanted?.names.has(name))
      : []
    return secrets.length + removed.length > 0 ? { secrets, removed } : null
  }

  sent({ secrets, removed }: Update<S>, nonce: string): void {
    for (const name of removed) this.#versions.delete(name)
    for (const { name, version } of secrets) this.#versions.set(name, version)
    this.#inFlight.sent(
      nonce,
      secrets.map(({ name }) => name),
    )
  }

  #subscribeToAll(wanted: { all: boolean }): void {
    wanted.all = true
    this.#versions.clear()
  }
}

export function wantedOf(asked: readonly string[]): WantedSecrets {
  const names = new Set(asked.filter((name) => name !== '' && name !== WILDCARD))
  return { all: names.size === 0 || asked.includes(WILDCARD), names }
}

function sameWanted(a: WantedSecrets, b: WantedSecrets): boolean {
  return a.all === b.all && a.names.size === b.names.size && [...a.names].every((name) => b.names.has(name))
}
