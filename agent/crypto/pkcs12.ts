import { webcrypto } from 'node:crypto'
import {
  Attribute,
  AuthenticatedSafe,
  CertBag,
  Certificate,
  CryptoEngine,
  PFX,
  PKCS8ShroudedKeyBag,
  PrivateKeyInfo,
  SafeBag,
  SafeContents,
  setEngine,
} from 'pkijs'
import type { Secret } from './secret.js'

const KEY_BAG = '1.2.840.113549.1.12.10.1.2'
const CERTIFICATE_BAG = '1.2.840.113549.1.12.10.1.3'
/** The default of OpenSSL and Java: AES-256 under PBKDF2 with SHA-256. */
const ITERATIONS = 10_000
/** DER of the attribute localKeyId (RFC 2985 5.5.2), which ties a certificate to its key. */
const LOCAL_KEY_ID = attribute('301306092a864886f70d0109153106040473766964')
/** DER of the attribute by which Java trusts a certificate as an authority: its trusted key usage, for anything. */
const TRUSTED = attribute('3016060c6086480186f966adca7b010131060604551d2500')

export interface KeyEntry {
  /** PKCS#8 DER. */
  readonly privateKey: Secret<Uint8Array>
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
}

/** A PKCS#12 store (RFC 7292) with one private key and its certificates, under the alias `svid`. */
export function keyStore({ privateKey, chain }: KeyEntry, password: Secret): Promise<Uint8Array> {
  return store(password, async (encryption) => {
    const key = new PKCS8ShroudedKeyBag({ parsedValue: PrivateKeyInfo.fromBER(bufferOf(privateKey.reveal())) })
    await key.makeInternalValues(encryption)
    return {
      keys: [new SafeBag({ bagId: KEY_BAG, bagValue: key, bagAttributes: [LOCAL_KEY_ID, alias('svid')] })],
      certificates: chain.map((der, i) => certificateBag(der, i === 0 ? [LOCAL_KEY_ID, alias('svid')] : [])),
    }
  })
}

/** A PKCS#12 store of authorities, each marked as trusted, as Java requires, and under its own alias. */
export function trustStore(authorities: ReadonlyMap<string, Uint8Array>, password: Secret): Promise<Uint8Array> {
  return store(password, async () => ({
    keys: [],
    certificates: [...authorities].map(([name, der]) => certificateBag(der, [TRUSTED, alias(name)])),
  }))
}

interface Bags {
  readonly keys: readonly SafeBag[]
  readonly certificates: readonly SafeBag[]
}

type Encryption = Parameters<PKCS8ShroudedKeyBag['makeInternalValues']>[0]

async function store(password: Secret, fill: (encryption: Encryption) => Promise<Bags>): Promise<Uint8Array> {
  setEngine('node', new CryptoEngine({ name: 'node', crypto: webcrypto }))
  const secret = bufferOf(Buffer.from(password.reveal(), 'utf8'))
  const encryption = {
    password: secret,
    contentEncryptionAlgorithm: { name: 'AES-CBC', length: 256 },
    hmacHashAlgorithm: 'SHA-256',
    iterationCount: ITERATIONS,
  }
  const { keys, certificates } = await fill(encryption)
  const contents = [
    ...(keys.length === 0 ? [] : [{ privacyMode: 0, value: new SafeContents({ safeBags: [...keys] }) }]),
    { privacyMode: 1, value: new SafeContents({ safeBags: [...certificates] }) },
  ]
  const safe = new AuthenticatedSafe({ parsedValue: { safeContents: contents } })
  // One set of parameters per content; those of an unencrypted content are ignored.
  await safe.makeInternalValues({ safeContents: contents.map(() => encryption) })
  const pfx = new PFX({ parsedValue: { integrityMode: 0, authenticatedSafe: safe } })
  await pfx.makeInternalValues({
    password: secret,
    iterations: ITERATIONS,
    pbkdf2HashAlgorithm: 'SHA-256',
    hmacHashAlgorithm: 'SHA-256',
  })
  return new Uint8Array(pfx.toSchema().toBER())
}

function certificateBag(der: Uint8Array, bagAttributes: Attribute[]): SafeBag<CertBag> {
  const bagValue = new CertBag({ parsedValue: Certificate.fromBER(bufferOf(der)) })
  return new SafeBag({ bagId: CERTIFICATE_BAG, bagValue, ...(bagAttributes.length > 0 ? { bagAttributes } : {}) })
}

/** The attribute friendlyName (RFC 2985 5.5.1), a BMPString. */
function alias(name: string): Attribute {
  const text = Buffer.from(name.slice(0, 50), 'utf16le').swap16()
  return attribute(tlv('30', `06092a864886f70d010914${tlv('31', tlv('1e', text.toString('hex')))}`))
}

/** DER with a length below 128. */
function tlv(tag: string, content: string): string {
  return `${tag}${(content.length / 2).toString(16).padStart(2, '0')}${content}`
}

function attribute(der: string): Attribute {
  return Attribute.fromBER(bufferOf(Buffer.from(der, 'hex')))
}

/** A copy in a buffer with exactly these bytes, as the library requires. */
function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer
}
