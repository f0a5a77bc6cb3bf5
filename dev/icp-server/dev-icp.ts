import type { Services } from './exchange.js'
import type { FaultRequest, SetFault } from './faults.js'
import { BASE_PATH } from './https-front.js'
import type { Generation, LimitsMode } from './options.js'
import type { NewEntry } from './registry.js'
import type { RequestLog } from './requests.js'
import type { AgentRecord, EntryRecord } from './state.js'

export interface DevJoinToken {
  readonly id: string
  /** Shown only once. */
  readonly token: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/**
 * A running embedded ICP server. Its methods do what the admin endpoints do, without HTTP and limits; each resolves when
 * the change is on disk. They throw the endpoints' refusals (an Error with `status` and `code`).
 */
export class DevIcp implements AsyncDisposable {
  /** The address for agents. */
  readonly address: string
  /** The address for programs of this machine, which differs if the server is exposed. */
  readonly localAddress: string
  readonly generation: Generation
  readonly tenantId: string
  readonly adminToken: string
  readonly workloadTrustDomain: string
  /** The requests to the server. */
  readonly requests: RequestLog
  readonly #services: Services
  readonly #parts: readonly AsyncDisposable[]

  constructor(
    /** `https://HOST:PORT` */
    origins: { readonly others: string; readonly local: string },
    /** The CA of the server's TLS certificate; not the one that issues. */
    readonly caPem: string,
    readonly caPath: string,
    services: Services,
    /** Disposed in this order. */
    parts: readonly AsyncDisposable[],
  ) {
    this.address = `${origins.others}${BASE_PATH}`
    this.localAddress = `${origins.local}${BASE_PATH}`
    this.generation = services.generation
    this.tenantId = services.accountId
    this.adminToken = services.adminToken
    this.workloadTrustDomain = services.workloadTrustDomain
    this.requests = services.requests
    this.#services = services
    this.#parts = parts
  }

  /** The issuing CA's certificate. */
  get issuerPem(): string {
    return this.#services.authority.bundlePem
  }

  /** Certificates of all generations of the CA, oldest first. */
  get issuers(): readonly string[] {
    return this.#services.authority.generations
  }

  /** Oldest first. */
  get entries(): readonly EntryRecord[] {
    return [...this.#services.registry.entries()]
  }

  get agents(): readonly AgentRecord[] {
    return this.#services.registry.agents()
  }

  async createEntry(entry: NewEntry): Promise<EntryRecord> {
    return await this.#saved(this.#services.registry.createEntry(entry, this.#services.clock.now()))
  }

  async updateEntry(id: string, entry: NewEntry): Promise<EntryRecord> {
    return await this.#saved(this.#services.registry.updateEntry(id, entry, this.#services.clock.now()))
  }

  async deleteEntry(id: string): Promise<void> {
    await this.#saved(this.#services.registry.deleteEntry(id, this.generation))
  }

  /** The newer generation refuses all requests with the certificate of an inactive agent (403). */
  async setAgentStatus(id: string, status: AgentRecord['status']): Promise<void> {
    await this.#saved(this.#services.registry.setAgentStatus(id, status))
  }

  async createJoinToken(options: { ttlSeconds?: number; description?: string } = {}): Promise<DevJoinToken> {
    const { record, secret } = await this.#saved(this.#services.joinTokens.mint(options, this.#services.clock.now()))
    return { id: record.id, token: secret, expiresAt: record.expiresAt }
  }

  async revokeJoinToken(id: string): Promise<void> {
    await this.#saved(this.#services.joinTokens.revoke(id, this.#services.clock.now()))
  }

  /** The server no longer validates the JWT-SVID. */
  async revokeJwt(token: string): Promise<void> {
    await this.#saved(this.#services.jwts.revoke(token))
  }

  /** Sets a fault; disposing clears it. Throws a ZodError for an invalid one. */
  setFault(fault: FaultRequest): SetFault & Disposable {
    const set = this.#services.faults.add(fault)
    return { ...set, [Symbol.dispose]: () => this.#services.faults.clear(set.id) }
  }

  get faults(): readonly SetFault[] {
    return this.#services.faults.list()
  }

  clearFaults(): void {
    this.#services.faults.clear()
  }

  setLimits(mode: LimitsMode): void {
    this.#services.limits.mode = mode
  }

  /**
   * Issues with a new CA from now on; resolves with its certificate. For `issuerCacheSeconds`, or until `lookUpIssuer`, the
   * newer generation accepts only client certificates of the old one, then only of the new one.
   */
  async rotateCa(): Promise<string> {
    await this.#services.rotateCa()
    return this.issuerPem
  }

  /** Checks client certificates against the present CA at once, before `issuerCacheSeconds` are over. */
  lookUpIssuer(): void {
    this.#services.knownIssuer.lookUp()
  }

  /** Closes every connection; all changes are on disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of this.#parts) await part[Symbol.asyncDispose]()
  }

  async #saved<T>(result: T): Promise<T> {
    await this.#services.save()
    return result
  }
}
