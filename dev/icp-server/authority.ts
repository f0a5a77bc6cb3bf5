import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { PublicKey } from '@peculiar/x509'
import { internal } from './api-error.js'
import { type Flaw, Strangers, spoil, type UnsignedIssuance } from './flaws.js'
import { exportKey, type Issuer, makeIssuer, RSA_2048, restoreIssuer, type SavedIssuer, saveIssuer } from './issuer.js'
import type { ReadCsr } from './read-csr.js'
import { type Granted, grant, type Role, type RoleName } from './roles.js'
import { signCertificate } from './sign-certificate.js'

const CA_LIFE_MS = 10 * 365 * 86_400_000
/** As Vault does; at most a tenth of the life, because half of a short life would be in the past. */
const BACKDATE_MS = 30_000

export interface IssueRequest {
  readonly role: RoleName
  readonly csr: ReadCsr
  /** The SPIFFE ID that the server means to issue; the certificate contains what the CSR requested. */
  readonly spiffeId: string
  /** The common name that the server itself requests. */
  readonly fallbackName: string
  /** Clamped by the role. */
  readonly ttlSeconds: number
  /** Milliseconds since 1970. */
  readonly now: number
  readonly flaw: Flaw | null
  /** Generate the key here, ignore the CSR, and return the key in this form. */
  readonly serverKey: 'pkcs1' | 'pkcs8' | null
}

export interface IssuedByAuthority {
  readonly spiffeId: string
  readonly certificatePem: string
  readonly bundlePem: string
  readonly serial: string
  readonly privateKeyPem: string | null
}

interface AuthorityGeneration {
  readonly issuer: Issuer
  readonly saved: SavedIssuer
}

/**
 * The CA of the server with all its generations. The last one is the default issuer: it signs, and is the only certificate
 * in the bundle of answers.
 */
export class CertificateAuthority {
  readonly #roles: Record<RoleName, Role>
  readonly #generations: AuthorityGeneration[]
  readonly #strangers = new Strangers()

  private constructor(roles: Record<RoleName, Role>, generations: readonly AuthorityGeneration[]) {
    this.#roles = roles
    this.#generations = [...generations]
  }

  /** With the saved generations, or one new CA if there are none. */
  static async open(
    roles: Record<RoleName, Role>,
    saved: readonly SavedIssuer[],
    accountId: string,
    now: number,
  ): Promise<CertificateAuthority> {
    const restored = await Promise.all(
      saved.map(async (each) => ({ issuer: await restoreIssuer(each, RSA_2048), saved: each })),
    )
    return new CertificateAuthority(roles, restored.length > 0 ? restored : [await makeGeneration(accountId, 1, now)])
  }

  /** The default issuer's certificate, the only one that the server names. */
  get bundlePem(): string {
    return this.#current.pem
  }

  /** Certificates of all generations, oldest first. */
  get generations(): readonly string[] {
    return this.#generations.map(({ issuer }) => issuer.pem)
  }

  save(): SavedIssuer[] {
    return this.#generations.map(({ saved }) => saved)
  }

  /** Issues with a new CA from now on. */
  async rotate(accountId: string, now: number): Promise<void> {
    this.#generations.push(await makeGeneration(accountId, this.#generations.length + 1, now))
  }

  /** Throws a 500 without details if the role refuses, as the real server does. */
  async issue(request: IssueRequest): Promise<IssuedByAuthority> {
    const role = this.#roles[request.role]
    const made = request.serverKey === null ? null : await makeKey(request.serverKey)
    const names = made ? plainNames(request.spiffeId) : grant(role, request.csr.content, request.fallbackName)
    if (typeof names === 'string') throw internal('Failed to issue certificate', names)
    const lifeMs = Math.min(request.ttlSeconds, role.maxTtlSeconds) * 1000
    const good: UnsignedIssuance = {
      issuer: this.#current,
      bundlePem: this.bundlePem,
      spiffeId: request.spiffeId,
      draft: {
        names,
        publicKey: made?.publicKey ?? request.csr.publicKey,
        notBefore: request.now - Math.min(BACKDATE_MS, lifeMs / 10),
        notAfter: request.now + lifeMs,
        ca: false,
        basicConstraints: role.basicConstraints,
        digitalSignature: true,
      },
    }
    const issuance = request.flaw === null ? good : await spoil(request.flaw, good, this.#strangers)
    const signed = await signCertificate(issuance.issuer, issuance.draft)
    return {
      spiffeId: issuance.spiffeId,
      certificatePem: signed.pem,
      bundlePem: issuance.bundlePem,
      serial: signed.serial,
      privateKeyPem: made?.pem ?? null,
    }
  }

  get #current(): Issuer {
    const current = this.#generations.at(-1)
    if (!current) throw new TypeError('an authority has at least one generation')
    return current.issuer
  }
}

async function makeGeneration(accountId: string, generation: number, now: number): Promise<AuthorityGeneration> {
  const name = `Development ICP ${accountId} CA ${generation}`
  const issuer = await makeIssuer(name, RSA_2048, { notBefore: now - BACKDATE_MS, notAfter: now + CA_LIFE_MS })
  return { issuer, saved: await saveIssuer(issuer) }
}

async function makeKey(form: 'pkcs1' | 'pkcs8'): Promise<{ publicKey: PublicKey; pem: string }> {
  const keys = await webcrypto.subtle.generateKey(RSA_2048, true, ['sign', 'verify'])
  return {
    publicKey: await PublicKey.create(keys.publicKey, webcrypto),
    pem: await exportKey(keys.privateKey, form),
  }
}

function plainNames(spiffeId: string): Granted {
  return { commonName: '', dnsNames: [], emails: [], ipAddresses: [], uris: [spiffeId] }
}
