import { createPublicKey } from 'node:crypto'
import { derFromPem } from '../../agent/crypto/pem.js'
import { Secret } from '../../agent/crypto/secret.js'
import { AgentError } from '../../agent/errors.js'
import type {
  AttestedNode,
  ControlPlane,
  CsrPem,
  EntriesAnswer,
  IssuedCertificate,
  IssuedJwt,
  Jwk,
  JwtValidationAnswer,
  NodeEvidence,
} from '../../agent/icp/control-plane.js'
import type { Entry } from '../../agent/identity/entry.js'
import { covers, type Selectors } from '../../agent/identity/selector.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import type { Clock } from '../../agent/ports/clock.js'
import { readCsr, TestCa } from './ca.js'
import { issueToken, keySet, readToken } from './jwt.js'
import { rsaKey } from './keys.js'

export const TENANT = '7c9e6679-7425-40de-944b-e07fc1f90ae7'
const HOUR = 3_600_000

export type Method = keyof ControlPlane

export interface FakeOptions {
  readonly clock: Clock
  readonly generation?: 'tenant' | 'workspace'
  readonly tenantId?: string
  readonly nodeId?: string
  /** Trust domain of workloads; default: the tenant id. */
  readonly workloadTrustDomain?: string
  readonly agentTtlMs?: number
  readonly svidTtlMs?: number
}

export interface NewEntry {
  readonly id?: string
  /** Below the workload trust domain, with its slash. */
  readonly path: string
  readonly selectors: Readonly<Record<string, string>>
  readonly assigned?: boolean
  readonly ttlSeconds?: number | null
  readonly createdAt?: number
  /** Default: that of workloads. Entries of another one are taken, and no X.509-SVID is ever issued for them. */
  readonly trustDomain?: string
}

interface Fault {
  readonly error: unknown
  readonly when: 'before' | 'after'
  times: number
}

/**
 * An ICP server in memory, with a real CA of its own and the rules that the agent can observe: the URI of the CSR ends
 * in the certificate, agents and workloads are in two trust domains, join tokens are used up before anything is
 * issued, one of the matching entries is issued. Nothing in it waits, so that a fake clock need not.
 */
export class FakeControlPlane implements ControlPlane {
  readonly calls: { readonly method: Method; readonly at: number; readonly request: unknown }[] = []
  readonly entryList = new Map<string, Entry>()
  readonly revoked: string[] = []
  /** Answers of attest, renew and sign come without their bundle. */
  withoutBundle = false
  /** Every answer is passed through the function of its method, if there is one. */
  readonly tamper: {
    issued?: (answer: IssuedCertificate) => IssuedCertificate
    /** What is published at /bundle. */
    bundle?: (ders: readonly Uint8Array[]) => readonly Uint8Array[]
    /** The claims of a JWT-SVID before it is signed, or the whole token as text. */
    claims?: (claims: Readonly<Record<string, unknown>>) => Record<string, unknown> | string
  } = {}
  /** Which of the test's RSA keys signs JWT-SVIDs; it is published as `default`, whichever it is. */
  jwtKey = 0
  /** How long each call takes, on the clock. */
  latencyMs = 0
  /** Calls that wait for their latency to pass on the clock. */
  asleep = 0

  readonly tenantId: string
  readonly nodeId: string
  readonly workloadTrustDomain: string
  readonly agentId = 'a3bb189e-8bf9-4c8a-9d2b-1b8f6d2f4c11'
  readonly #tokens = new Map<string, 'fresh' | 'used'>()
  readonly #faults = new Map<Method, Fault[]>()
  #lastEntries: readonly Entry[] | null = null
  #cas = 1

  private constructor(
    readonly options: FakeOptions,
    public ca: TestCa,
  ) {
    this.tenantId = options.tenantId ?? TENANT
    this.nodeId = options.nodeId ?? 'node-1'
    this.workloadTrustDomain = options.workloadTrustDomain ?? this.tenantId
  }

  static async create(options: FakeOptions): Promise<FakeControlPlane> {
    return new FakeControlPlane(options, await newCa(options.clock, 1))
  }

  get agent(): SpiffeId {
    return SpiffeId.parse(`spiffe://${this.tenantId}/agent/${this.nodeId}`)
  }

  /** Registers an entry and returns it; the same id replaces. */
  addEntry(entry: NewEntry): Entry {
    const full: Entry = {
      id: entry.id ?? `entry-${this.entryList.size + 1}`,
      spiffeId: SpiffeId.parse(`spiffe://${entry.trustDomain ?? this.workloadTrustDomain}${entry.path}`),
      assigned: entry.assigned ?? true,
      selectors: new Map(Object.entries(entry.selectors)),
      ttlSeconds: entry.ttlSeconds ?? null,
      createdAt: entry.createdAt ?? this.options.clock.now(),
    }
    this.entryList.set(full.id, full)
    return full
  }

  removeEntry(id: string): void {
    this.entryList.delete(id)
  }

  /** A join token that is good for one attestation. */
  mintToken(): Secret {
    const token = `token-${this.#tokens.size + 1}`
    this.#tokens.set(token, 'fresh')
    return new Secret(token)
  }

  /** The next calls of the method fail; `after`: the server does its work first, and only the answer is lost. */
  fail(method: Method, error: unknown, options: { times?: number; when?: 'before' | 'after' } = {}): void {
    const { times = 1, when = 'before' } = options
    this.#faults.set(method, [...(this.#faults.get(method) ?? []), { error, when, times }])
  }

  clearFaults(): void {
    this.#faults.clear()
  }

  /** From now on another CA signs, and only it is published. */
  async rotateCa(): Promise<void> {
    this.ca = await newCa(this.options.clock, ++this.#cas)
  }

  count(method: Method): number {
    return this.calls.filter((call) => call.method === method).length
  }

  async attestNode(request: { evidence: NodeEvidence; csrPem: CsrPem }, signal: AbortSignal): Promise<AttestedNode> {
    const csrPem = await request.csrPem
    return await this.#call('attestNode', { ...request, csrPem }, signal, async () => {
      const workspace = this.options.generation === 'workspace'
      await readCsr(csrPem) // A bad CSR does not use the token up.
      if (workspace) this.#useToken(request.evidence.joinToken)
      const issued = await this.#issue(csrPem, this.agent, this.options.agentTtlMs ?? HOUR)
      return { ...issued, agentId: this.agentId, workspace }
    })
  }

  async renewAgent(request: { agentId: string; csrPem: CsrPem }, signal: AbortSignal): Promise<IssuedCertificate> {
    const csrPem = await request.csrPem
    return await this.#call('renewAgent', { ...request, csrPem }, signal, () => {
      if (this.options.generation !== 'workspace') throw refusal('icp.unauthorized', 401)
      if (request.agentId !== this.agentId) throw refusal('icp.not_found', 404)
      return this.#issue(csrPem, this.agent, this.options.agentTtlMs ?? HOUR)
    })
  }

  entries(agent: SpiffeId, signal: AbortSignal): Promise<EntriesAnswer> {
    return this.#call('entries', agent, signal, async () => {
      const entries = [...this.entryList.values()]
      const last = this.#lastEntries
      const unchanged = last?.length === entries.length && last.every((entry, i) => entries[i] === entry)
      this.#lastEntries = entries
      return { unchanged, entries, rejected: [] }
    })
  }

  async signWorkload(
    request: { agent: SpiffeId; selectors: Selectors; csrPem: CsrPem },
    signal: AbortSignal,
  ): Promise<IssuedCertificate> {
    const csrPem = await request.csrPem
    return await this.#call('signWorkload', { ...request, csrPem }, signal, () => {
      const entry = this.#match(request.selectors)
      if (!entry) throw refusal('icp.no_match', 404)
      if (entry.spiffeId.trustDomain !== this.workloadTrustDomain) throw refusal('icp.server_error', 500)
      const ttl = entry.ttlSeconds === null ? (this.options.svidTtlMs ?? HOUR) : entry.ttlSeconds * 1000
      return this.#issue(csrPem, entry.spiffeId, ttl)
    })
  }

  revokeWorkload(serial: string, signal: AbortSignal): Promise<void> {
    return this.#call('revokeWorkload', serial, signal, async () => void this.revoked.push(serial))
  }

  bundle(signal: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.#call('bundle', undefined, signal, async () => this.tamper.bundle?.([this.ca.der]) ?? [this.ca.der])
  }

  issueJwt(request: { spiffeId: SpiffeId; audience: readonly string[] }, signal: AbortSignal): Promise<IssuedJwt> {
    return this.#call('issueJwt', request, signal, async () => {
      const { spiffeId, audience } = request
      const issuedAt = Math.floor(this.options.clock.now() / 1000)
      const good = {
        iss: `spiffe://${this.tenantId}`,
        sub: spiffeId.uri,
        aud: audience,
        iat: issuedAt,
        exp: issuedAt + 300,
      }
      const claims = this.tamper.claims?.(good) ?? good
      const token = typeof claims === 'string' ? claims : issueToken(await rsaKey(this.jwtKey), claims)
      return { spiffeId: spiffeId.uri, token: new Secret(token) }
    })
  }

  jwtBundle(signal: AbortSignal): Promise<readonly Jwk[]> {
    return this.#call('jwtBundle', undefined, signal, async () => [keySet(createPublicKey(await rsaKey(this.jwtKey)))])
  }

  validateJwt(request: { token: Secret; audience: string }, signal: AbortSignal): Promise<JwtValidationAnswer> {
    return this.#call('validateJwt', request, signal, async () => {
      const claims = readToken(createPublicKey(await rsaKey(this.jwtKey)), request.token.reveal())
      const { sub, aud, exp } = claims ?? {}
      const valid =
        typeof sub === 'string' &&
        Array.isArray(aud) &&
        aud.includes(request.audience) &&
        typeof exp === 'number' &&
        exp * 1000 > this.options.clock.now()
      return valid ? { valid, spiffeId: sub } : { valid: false, spiffeId: '' }
    })
  }

  async #call<T>(method: Method, request: unknown, signal: AbortSignal, work: () => Promise<T> | T): Promise<T> {
    this.calls.push({ method, at: this.options.clock.now(), request })
    signal.throwIfAborted()
    const fault = this.#faults.get(method)?.find((candidate) => candidate.times > 0)
    if (fault) fault.times--
    if (this.latencyMs > 0) await this.#sleep(signal)
    if (fault?.when === 'before') throw fault.error
    const result = await work()
    if (fault) throw fault.error
    return result
  }

  async #sleep(signal: AbortSignal): Promise<void> {
    this.asleep++
    try {
      await this.options.clock.sleep(this.latencyMs, signal)
    } finally {
      this.asleep--
    }
  }

  #useToken(token: Secret | undefined): void {
    const value = token?.reveal() ?? ''
    if (this.#tokens.get(value) !== 'fresh') throw refusal('icp.unauthorized', 401)
    this.#tokens.set(value, 'used')
  }

  /** The agent's own entries before unassigned ones, then the one with the most selectors, then the youngest. */
  #match(selectors: Selectors): Entry | undefined {
    return [...this.entryList.values()]
      .filter((entry) => covers(selectors, entry.selectors))
      .sort(
        (a, b) =>
          Number(b.assigned) - Number(a.assigned) || b.selectors.size - a.selectors.size || b.createdAt - a.createdAt,
      )[0]
  }

  async #issue(csrPem: string, id: SpiffeId, ttlMs: number): Promise<IssuedCertificate> {
    const csr = await readCsr(csrPem)
    const now = this.options.clock.now()
    const der = await this.ca.issue(csr.key, {
      subject: csr.commonName,
      names: csr.names,
      notBefore: now - 30_000,
      notAfter: now + ttlMs,
    })
    const issued = {
      spiffeId: id.uri,
      chain: [der],
      bundle: this.withoutBundle ? [] : derFromPem(this.ca.pem, 'CERTIFICATE'),
    }
    return this.tamper.issued?.(issued) ?? issued
  }
}

/** An error as the real client throws it for an answer of the server. */
export function refusal(code: AgentError['code'], status: number, details: Record<string, unknown> = {}): AgentError {
  return new AgentError(code, `the fake server answers ${status}`, { details: { status, ...details } })
}

/** The error of an answer 429. */
export function rateLimited(retryAfterMs = 60_000): AgentError {
  return refusal('icp.rate_limited', 429, { retryAfterMs, tier: 'standard' })
}

function newCa(clock: Clock, n: number): Promise<TestCa> {
  const now = clock.now()
  return TestCa.create(`Test CA ${n}`, { notBefore: now - HOUR, notAfter: now + 3650 * 24 * HOUR })
}
