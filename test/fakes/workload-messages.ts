import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import type { DialectName } from '../../agent/client/dialect-name.js'
import { pemFromDer } from '../../agent/crypto/pem.js'
import * as authsec from '../../proto/gen/authsec/workload_pb.js'
import * as spiffe from '../../proto/gen/spiffe/workload_pb.js'
import { TestCa, type Wish } from './ca.js'

/** When the certificates of these messages are valid: an hour from here. */
export const BEGIN = Date.parse('2026-01-01T00:00:00Z')
export const HOUR = 3_600_000

/** One SVID of a message; any part may be wrong, which is what tests are for. */
export interface SentSvid {
  readonly spiffeId: string
  readonly hint?: string
  readonly chain: readonly Uint8Array[]
  readonly key: KeyObject
  readonly bundle: readonly Uint8Array[]
}

export type SentBundles = Readonly<Record<string, readonly Uint8Array[]>>

export function ecKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

export async function rootCa(name = 'root', begin = BEGIN): Promise<TestCa> {
  return await TestCa.create(name, { notBefore: begin - HOUR, notAfter: begin + 24 * HOUR })
}

/** An SVID as an agent would send it, valid for an hour from `begin`. */
export async function sentSvid(
  ca: TestCa,
  spiffeId: string,
  wish: Partial<Wish> & { begin?: number; hint?: string } = {},
): Promise<SentSvid> {
  const { begin = BEGIN, hint = '', ...rest } = wish
  const key = ecKey()
  const names = [{ type: 'url' as const, value: spiffeId }]
  const der = await ca.issue(createPublicKey(key), { names, notBefore: begin, notAfter: begin + HOUR, ...rest })
  return { spiffeId, hint, chain: [der], key, bundle: [ca.der] }
}

/** Encodes a message of FetchX509SVID by hand, independently of the agent's own encoders. */
export function x509SvidMessage(
  dialect: DialectName,
  svids: readonly SentSvid[],
  federated: SentBundles = {},
): Uint8Array {
  const federatedBundles = bundleMap(dialect, federated)
  if (dialect === 'spiffe') {
    const encoded = svids.map((svid) => ({
      spiffeId: svid.spiffeId,
      hint: svid.hint ?? '',
      x509Svid: Buffer.concat(svid.chain),
      x509SvidKey: svid.key.export({ type: 'pkcs8', format: 'der' }),
      bundle: Buffer.concat(svid.bundle),
    }))
    const { X509SVIDResponseSchema: schema } = spiffe
    return toBinary(schema, create(schema, { svids: encoded, federatedBundles }))
  }
  const encoded = svids.map((svid) => ({
    spiffeId: svid.spiffeId,
    x509Svid: pem(svid.chain),
    x509SvidKey: Buffer.from(svid.key.export({ type: 'pkcs8', format: 'pem' })),
    bundle: pem(svid.bundle),
  }))
  const { X509SVIDResponseSchema: schema } = authsec
  return toBinary(schema, create(schema, { svids: encoded, federatedBundles }))
}

export function x509BundlesMessage(dialect: DialectName, bundles: SentBundles): Uint8Array {
  const { X509BundlesResponseSchema: schema } = dialect === 'spiffe' ? spiffe : authsec
  return toBinary(schema, create(schema, { bundles: bundleMap(dialect, bundles) }))
}

function bundleMap(dialect: DialectName, bundles: SentBundles): Record<string, Uint8Array> {
  const encode = (ders: readonly Uint8Array[]) => (dialect === 'spiffe' ? Buffer.concat(ders) : pem(ders))
  return Object.fromEntries(Object.entries(bundles).map(([key, ders]) => [key, encode(ders)]))
}

function pem(ders: readonly Uint8Array[]): Uint8Array {
  return Buffer.from(ders.map((der) => pemFromDer(der, 'CERTIFICATE')).join(''))
}
