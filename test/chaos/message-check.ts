import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { WorkloadSettings } from './reports.js'
import { certificatesOf, decodeSvids } from './wire.js'

/** What the clock of the workload's node says. */
export interface Time {
  readonly now: number
  /** A jump was a moment ago: agent and workload are told of it one after the other. */
  readonly jumped: boolean
}

/** What there is to say of a message. */
export interface CheckedMessage {
  readonly violations: readonly string[]
  readonly ids: readonly string[]
  /** Certificates that were not seen before. */
  readonly fresh: number
  /** The end of the identity that is needed; null where it does not come first. */
  readonly heldUntil: number | null
  /** Of the identity that comes first. */
  readonly serial: string
}

/** An SVID of the message before, as far as the next one depends on it. */
interface Shown {
  readonly serial: string
  readonly notAfter: number
  readonly bundle: Buffer
}

/** Checks the messages of a workload: nothing may be another's, expired, or with a key that does not fit. */
export class MessageCheck {
  readonly #seen = new Set<string>()
  /** By SPIFFE ID, of the stream that is open. */
  #before = new Map<string, Shown>()

  constructor(private readonly settings: Pick<WorkloadSettings, 'ownPrefix' | 'needs'>) {}

  /** A stream begins or ends: what came on it says nothing of the next, of another agent perhaps. */
  anew(): void {
    this.#before.clear()
  }

  message(message: Buffer, { now, jumped }: Time): CheckedMessage {
    const svids = decodeSvids(message)
    const violations: string[] = []
    const shown = new Map<string, Shown>()
    let fresh = 0
    if (svids.length === 0) violations.push('a message without an identity')
    for (const { spiffeId, chain, key, bundle } of svids) {
      const leaf = new X509Certificate(chain)
      const notAfter = Date.parse(leaf.validTo)
      if (!this.#seen.has(leaf.serialNumber)) fresh++
      this.#seen.add(leaf.serialNumber)
      if (!spiffeId.startsWith(this.settings.ownPrefix)) violations.push(`the identity of somebody else: ${spiffeId}`)
      if (!`${leaf.subjectAltName},`.includes(`URI:${spiffeId},`)) {
        violations.push(`${spiffeId} is not in its certificate`)
      }
      if (now >= notAfter && !jumped) violations.push(`${spiffeId} expired ${now - notAfter} ms ago`)
      if (!leaf.checkPrivateKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' }))) {
        violations.push(`the key of ${spiffeId} does not fit`)
      }
      if (!vouches(bundle, leaf)) violations.push(`${spiffeId} is of no issuer known`)
      const before = this.#before.get(spiffeId)
      // Whoever has a valid SVID gets no SVID of an authority that others may not know: trust first, identity later.
      if (before && before.serial !== leaf.serialNumber && now < before.notAfter && !jumped) {
        if (!vouches(before.bundle, leaf)) violations.push(`${spiffeId} came together with its authority`)
      }
      shown.set(spiffeId, { serial: leaf.serialNumber, notAfter, bundle })
    }
    this.#before = shown
    const first = svids[0]?.spiffeId ?? ''
    const needed = first === this.settings.needs ? shown.get(first) : undefined
    if (svids.length > 0 && !needed) violations.push(`the first identity is ${first}`)
    return {
      violations,
      ids: [...shown.keys()],
      fresh,
      heldUntil: needed?.notAfter ?? null,
      serial: needed?.serial ?? '',
    }
  }
}

function vouches(bundle: Buffer, leaf: X509Certificate): boolean {
  return certificatesOf(bundle).some((issuer) => leaf.verify(new X509Certificate(issuer).publicKey))
}
