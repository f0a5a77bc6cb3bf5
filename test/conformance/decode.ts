import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { fromBinary } from '@bufbuild/protobuf'
import type { DialectName } from '../../agent/client/dialect-name.js'
import * as authsec from '../../proto/gen/authsec/workload_pb.js'
import * as spiffe from '../../proto/gen/spiffe/workload_pb.js'

/** One SVID of a message, as bytes and as what they mean. */
export interface Svid {
  readonly spiffeId: string
  readonly hint: string
  readonly bytes: { readonly chain: Uint8Array; readonly key: Uint8Array; readonly bundle: Uint8Array }
  readonly chain: readonly X509Certificate[]
  readonly leaf: X509Certificate
  readonly key: KeyObject
  readonly bundle: readonly X509Certificate[]
}

export interface X509Message {
  readonly svids: readonly Svid[]
  readonly federated: Readonly<Record<string, readonly X509Certificate[]>>
  readonly crls: readonly Uint8Array[]
}

export type Bundles = Readonly<Record<string, readonly X509Certificate[]>>

/** Decodes the messages of one dialect strictly: anything that is not exactly what it should be throws. */
export const DECODE: Readonly<
  Record<DialectName, { x509(message: Uint8Array): X509Message; bundles(message: Uint8Array): Bundles }>
> = {
  spiffe: {
    x509: (message) => {
      const { svids, crl, federatedBundles } = fromBinary(spiffe.X509SVIDResponseSchema, message)
      return {
        svids: svids.map((svid) => svidOf(svid, derList)),
        crls: crl,
        federated: each(federatedBundles, derList),
      }
    },
    bundles: (message) => each(fromBinary(spiffe.X509BundlesResponseSchema, message).bundles, derList),
  },
  authsec: {
    x509: (message) => {
      const { svids, crl, federatedBundles } = fromBinary(authsec.X509SVIDResponseSchema, message)
      const all = svids.map((svid) => svidOf({ ...svid, hint: '' }, pemList))
      return { svids: all, crls: Object.values(crl), federated: each(federatedBundles, pemList) }
    },
    bundles: (message) => each(fromBinary(authsec.X509BundlesResponseSchema, message).bundles, pemList),
  },
}

interface RawSvid {
  readonly spiffeId: string
  readonly hint: string
  readonly x509Svid: Uint8Array
  readonly x509SvidKey: Uint8Array
  readonly bundle: Uint8Array
}

function svidOf({ spiffeId, hint, x509Svid, x509SvidKey, bundle }: RawSvid, split: typeof derList): Svid {
  const chain = split(x509Svid)
  const [leaf] = chain
  if (!leaf) throw new Error('an SVID without a certificate')
  const pem = split === pemList
  const key = pem
    ? createPrivateKey({ key: Buffer.from(x509SvidKey), format: 'pem' })
    : createPrivateKey({ key: Buffer.from(x509SvidKey), format: 'der', type: 'pkcs8' })
  const bytes = { chain: x509Svid, key: x509SvidKey, bundle }
  return { spiffeId, hint, bytes, chain, leaf, key, bundle: split(bundle) }
}

function each(map: Readonly<Record<string, Uint8Array>>, split: typeof derList): Bundles {
  return Object.fromEntries(Object.entries(map).map(([name, bytes]) => [name, split(bytes)]))
}

/** Certificates one after the other in DER, and nothing between or behind them. */
function derList(bytes: Uint8Array): X509Certificate[] {
  const list: X509Certificate[] = []
  let rest = Buffer.from(bytes)
  while (rest.length > 0) {
    // A certificate has 256 bytes to 64 KiB: a SEQUENCE whose length takes two octets.
    if (rest[0] !== 0x30 || rest[1] !== 0x82) throw new Error('not a DER certificate')
    const end = 4 + rest.readUInt16BE(2)
    if (end > rest.length) throw new Error('a certificate that is cut off')
    list.push(new X509Certificate(rest.subarray(0, end)))
    rest = rest.subarray(end)
  }
  return list
}

function pemList(bytes: Uint8Array): X509Certificate[] {
  const text = Buffer.from(bytes).toString('latin1')
  const blocks = text.match(/-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n/g) ?? []
  if (blocks.join('') !== text) throw new Error('not PEM certificates alone')
  return blocks.map((block) => new X509Certificate(block))
}
