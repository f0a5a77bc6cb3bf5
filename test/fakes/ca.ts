import 'reflect-metadata'
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { CLIENT_AUTH, SERVER_AUTH } from '../../agent/crypto/extensions.js'
import { pemFromDer } from '../../agent/crypto/pem.js'
import { webcrypto } from '../../agent/crypto/webcrypto.js'

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** What a certificate is to be; everything may be wrong, which is what tests are for. */
export interface Wish {
  /** Common name; empty for an empty subject. */
  readonly subject?: string
  readonly names?: JsonGeneralNames
  readonly sanCritical?: boolean
  readonly notBefore: number
  readonly notAfter: number
  readonly ca?: { readonly pathLength?: number }
  /** Null: no key usage. */
  readonly keyUsage?: number | null
  readonly keyUsageCritical?: boolean
  /** Null: no extended key usage. */
  readonly extendedKeyUsage?: readonly string[] | null
  readonly extra?: readonly Extension[]
  readonly serial?: string
  /** Hash of the ECDSA signature on it; default SHA-256. */
  readonly hash?: 'SHA-1' | 'SHA-256'
}

const LEAF_USAGE = KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment | KeyUsageFlags.keyAgreement
const CA_USAGE = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign

/** A certificate authority with a P-256 key, which is made and signs at once. */
export class TestCa {
  private constructor(
    readonly key: KeyObject,
    readonly name: string,
    readonly der: Uint8Array,
    /** The CA above it; null for a root. */
    readonly parent: TestCa | null,
  ) {}

  get pem(): string {
    return pemFromDer(this.der, 'CERTIFICATE')
  }

  /** A root, or an intermediate below `parent`. */
  static async create(name: string, wish: Wish, parent: TestCa | null = null, key?: KeyObject): Promise<TestCa> {
    const own = key ?? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    const full = { subject: name, ca: {}, keyUsage: CA_USAGE, extendedKeyUsage: null, ...wish }
    const der = await certificate(createPublicKey(own), parent?.key ?? own, parent?.name ?? name, full)
    return new TestCa(own, name, der, parent)
  }

  /** A certificate for a public key, with the usages of an SVID unless the wish says otherwise. */
  async issue(publicKey: KeyObject, wish: Wish): Promise<Uint8Array> {
    return await certificate(publicKey, this.key, this.name, wish)
  }
}

/** What a PKI reads from a request: the key, the names and the common name. Throws where the signature is not the key's. */
export async function readCsr(pem: string): Promise<{ key: KeyObject; names: JsonGeneralNames; commonName: string }> {
  const csr = new Pkcs10CertificateRequest(pem)
  if (!(await csr.verify(webcrypto))) throw new TypeError('the signature of the CSR is wrong')
  const san = csr.extensions.find((extension) => extension instanceof SubjectAlternativeNameExtension)
  return {
    key: createPublicKey({ key: Buffer.from(csr.publicKey.rawData), format: 'der', type: 'spki' }),
    names: san?.names.toJSON() ?? [],
    commonName: csr.subjectName.getField('CN')[0] ?? '',
  }
}

async function certificate(publicKey: KeyObject, signer: KeyObject, issuer: string, wish: Wish): Promise<Uint8Array> {
  const algorithm = publicKey.asymmetricKeyType === 'rsa' ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } : ECDSA
  const signing = { ...ECDSA, hash: wish.hash ?? ECDSA.hash }
  const [signingKey, subjectKey] = await Promise.all([
    webcrypto.subtle.importKey('pkcs8', signer.export({ type: 'pkcs8', format: 'der' }), signing, false, ['sign']),
    webcrypto.subtle.importKey('spki', publicKey.export({ type: 'spki', format: 'der' }), algorithm, true, ['verify']),
  ])
  const made = await X509CertificateGenerator.create(
    {
      serialNumber: wish.serial ?? `4${randomBytes(15).toString('hex')}0`,
      subject: nameOf(wish.subject ?? ''),
      issuer: nameOf(issuer),
      notBefore: new Date(wish.notBefore),
      notAfter: new Date(wish.notAfter),
      publicKey: subjectKey,
      signingKey,
      signingAlgorithm: signing,
      extensions: extensionsOf(wish),
    },
    webcrypto,
  )
  return new Uint8Array(made.rawData)
}

function extensionsOf(wish: Wish): Extension[] {
  const { ca, names = [], keyUsage = LEAF_USAGE, extendedKeyUsage = [SERVER_AUTH, CLIENT_AUTH] } = wish
  return [
    ...(ca ? [new BasicConstraintsExtension(true, ca.pathLength, true)] : []),
    ...(names.length > 0
      ? [new SubjectAlternativeNameExtension(names, wish.sanCritical ?? (wish.subject ?? '') === '')]
      : []),
    ...(keyUsage === null ? [] : [new KeyUsagesExtension(keyUsage, wish.keyUsageCritical ?? true)]),
    ...(extendedKeyUsage === null ? [] : [new ExtendedKeyUsageExtension([...extendedKeyUsage])]),
    ...(wish.extra ?? []),
  ]
}

function nameOf(commonName: string): Name {
  return new Name(commonName === '' ? [] : [{ CN: [{ utf8String: commonName }] }])
}
