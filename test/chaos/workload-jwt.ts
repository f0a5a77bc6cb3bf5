import type { ClientHttp2Session } from 'node:http2'
import { call } from './call.js'
import type { Time } from './message-check.js'
import type { WorkloadReport } from './reports.js'
import { checkToken } from './token-check.js'
import { decodeJwtBundles, decodeJwtSvids, EMPTY_MESSAGE, encodeJwtSvidRequest } from './wire.js'

const AUDIENCES = ['spiffe://chaos/a', 'spiffe://chaos/b'] as const
/** No promise of the agent's, who has ten: a machine that is busy elsewhere is no defect. */
const CALL_LIMIT_MS = 45_000
/** After a call failed: so soon the stream of SVIDs would have ended, were there a reason that concerns it. */
const SECOND_LOOK_MS = 2_000
/** A token is good for so much longer: it will not expire on the way. */
const MARGIN_MS = 15_000

/** What of the process must stay the same for an old token to be due: connection, identity, clock. */
export interface Circumstances {
  readonly session: ClientHttp2Session
  /** Of the X.509-SVID that is served. */
  readonly serial: string
  /** When it last jumped. */
  readonly clock: number
}

interface Kept {
  readonly circumstances: Circumstances
  readonly expiresAt: number
}

/** Fetches JWT-SVIDs and checks them: they must be its own, for the audience that was asked for, valid and signed. */
export class JwtWorkload {
  readonly #kept = new Map<string, Kept>()
  #turn = 0

  constructor(
    private readonly spiffeId: string,
    /** Null while the process has no connection or no identity. */
    private readonly circumstances: () => Circumstances | null,
    private readonly time: () => Time,
    private readonly tell: (report: WorkloadReport) => void,
  ) {}

  /** One token, of the audiences in turn; then the keys that it must be signed with. Never rejects. */
  async fetch(): Promise<void> {
    const before = this.circumstances()
    if (!before) return
    const audience = AUDIENCES[this.#turn++ % AUDIENCES.length] ?? AUDIENCES[0]
    const request = encodeJwtSvidRequest(audience, this.spiffeId)
    const answer = await call(before.session, 'FetchJWTSVID', request, CALL_LIMIT_MS)
    if (!answer.message) {
      await this.#failed(audience, before, answer.why)
      return
    }
    const token = decodeJwtSvids(answer.message).find(({ spiffeId }) => spiffeId === this.spiffeId)?.token
    if (token === undefined) {
      this.#violation('a JWT-SVID of another identity than the one asked for')
      return
    }
    const { message } = await call(before.session, 'FetchJWTBundles', EMPTY_MESSAGE, CALL_LIMIT_MS)
    const bundles = message ? decodeJwtBundles(message) : null
    const { now, jumped } = this.time()
    // Between the two calls the clock may have moved: such a token says nothing.
    if (jumped || !same(this.circumstances(), before)) return
    const { violations, expiresAt } = checkToken(token, { spiffeId: this.spiffeId, audience, bundles, now })
    for (const what of violations) this.#violation(what)
    this.#kept.set(audience, { circumstances: before, expiresAt })
    this.tell({ kind: 'jwt', outcome: bundles ? 'verified' : 'unverified' })
  }

  /** That is as it may be, unless the agent must still hold a token for the same thing. */
  async #failed(audience: string, before: Circumstances, why: string): Promise<void> {
    this.tell({ kind: 'jwt', outcome: 'refused' })
    const kept = this.#kept.get(audience)
    await new Promise((resolve) => setTimeout(resolve, SECOND_LOOK_MS))
    const now = this.circumstances()
    if (!kept || !same(now, before) || !same(now, kept.circumstances)) return
    if (this.time().now < kept.expiresAt - MARGIN_MS)
      this.#violation(`a JWT-SVID that is still good was refused: ${why}`)
  }

  #violation(what: string): void {
    this.tell({ kind: 'violation', what, at: Date.now() })
  }
}

function same(a: Circumstances | null, b: Circumstances): boolean {
  return a !== null && a.session === b.session && a.serial === b.serial && a.clock === b.clock
}
