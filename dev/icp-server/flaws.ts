import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { PublicKey } from '@peculiar/x509'
import { type Issuer, makeIssuer, RSA_2048 } from './issuer.js'
import type { Draft } from './sign-certificate.js'

/** The content of an answer with a certificate, before it is signed. */
export interface UnsignedIssuance {
  readonly issuer: Issuer
  readonly draft: Draft
  /** PEM of the authorities that the answer names. */
  readonly bundlePem: string
  /** The `spiffe_id` of the answer. */
  readonly spiffeId: string
}

const HOUR = 3_600_000

type Spoil = (good: UnsignedIssuance, strangers: Strangers) => UnsignedIssuance | Promise<UnsignedIssuance>

/** Flaws of a certificate that a test can request. */
const SPOIL = {
  'wrong-san': (good) => withUris(good, [`${trustDomainOf(good.spiffeId)}/somebody-else`]),
  'no-uri': (good) => withUris(good, []),
  'two-uris': (good) => withUris(good, [...good.draft.names.uris, `${trustDomainOf(good.spiffeId)}/somebody-else`]),
  'foreign-key': async (good, strangers) => withDraft(good, { publicKey: await strangers.publicKey() }),
  'other-ca': async (good, strangers) => ({ ...good, issuer: await strangers.issuer() }),
  'no-issuer': async (good, strangers) => ({ ...good, bundlePem: (await strangers.issuer()).pem }),
  'empty-bundle': (good) => ({ ...good, bundlePem: '' }),
  'not-yet-valid': (good) => withDraft(good, moved(good.draft, HOUR)),
  expired: (good) => withDraft(good, moved(good.draft, good.draft.notBefore - good.draft.notAfter - HOUR)),
  ca: (good) => withDraft(good, { ca: true }),
  'no-digital-signature': (good) => withDraft(good, { digitalSignature: false }),
  'other-spiffe-id': (good) => ({ ...good, spiffeId: `${trustDomainOf(good.spiffeId)}/somebody-else` }),
} satisfies Record<string, Spoil>

export type Flaw = keyof typeof SPOIL
export const FLAWS = Object.keys(SPOIL) as readonly Flaw[]

/** The same issuance with one flaw. */
export async function spoil(flaw: Flaw, good: UnsignedIssuance, strangers: Strangers): Promise<UnsignedIssuance> {
  const change: Spoil = SPOIL[flaw]
  return await change(good, strangers)
}

/** An unrelated CA and key, created on demand. */
export class Strangers {
  #issuer: Promise<Issuer> | null = null
  #publicKey: Promise<PublicKey> | null = null

  issuer(): Promise<Issuer> {
    this.#issuer ??= makeIssuer('A CA that nobody trusts', RSA_2048, { notBefore: 0, notAfter: Date.UTC(2049, 0) })
    return this.#issuer
  }

  publicKey(): Promise<PublicKey> {
    this.#publicKey ??= webcrypto.subtle
      .generateKey(RSA_2048, true, ['sign', 'verify'])
      .then((keys) => PublicKey.create(keys.publicKey, webcrypto))
    return this.#publicKey
  }
}

function withDraft(good: UnsignedIssuance, change: Partial<Draft>): UnsignedIssuance {
  return { ...good, draft: { ...good.draft, ...change } }
}

function withUris(good: UnsignedIssuance, uris: readonly string[]): UnsignedIssuance {
  return withDraft(good, { names: { ...good.draft.names, uris } })
}

function moved(draft: Draft, byMs: number): Partial<Draft> {
  return { notBefore: draft.notBefore + byMs, notAfter: draft.notAfter + byMs }
}

function trustDomainOf(spiffeId: string): string {
  return spiffeId.split('/').slice(0, 3).join('/')
}
