import { X509Certificate } from 'node:crypto'
import type { AgentSvidKeeper } from '../../../agent/agent-svid/run.js'
import { AgentError } from '../../../agent/errors.js'
import { errorOf } from '../../../agent/icp/answers.js'
import { presenting } from '../../../agent/icp/client-certificates.js'
import type { ControlPlane, IssuedCertificate } from '../../../agent/icp/control-plane.js'
import type { ServerEndpoint } from '../../../agent/icp/endpoints.js'
import type { HttpResponse } from '../../../agent/ports/http.js'
import { never, World } from './world.js'

const CACHE_MS = 5 * 60_000

/**
 * A world whose server verifies agents against its current issuer alone, which it caches for five minutes, and refuses
 * those that an administrator has revoked: the way to it is the agent's own choice of certificates.
 */
export class ChangingCa {
  /** One letter a request that got as far as the server: which certificate it came with, and the status. */
  readonly requests: { readonly endpoint: ServerEndpoint; readonly serial: string | null; readonly status: number }[] =
    []
  /** An administrator has revoked the agent. */
  revoked = false
  /** Nothing answers. */
  away = false
  #verifiesAgainst: Uint8Array
  #changesAt = Number.POSITIVE_INFINITY
  readonly #certificates = new Map<string, X509Certificate>()
  #keeper: AgentSvidKeeper | null = null
  readonly #first: World['server']['ca']

  private constructor(readonly world: World) {
    this.#first = world.server.ca
    this.#verifiesAgainst = world.server.ca.der
  }

  static async create(options: { joinTokenPath?: string | null } = {}): Promise<ChangingCa> {
    const world = await World.create({ generation: 'workspace', ...options })
    world.giveToken()
    return new ChangingCa(world)
  }

  /** An agent as after a start. */
  async start(): Promise<AgentSvidKeeper> {
    const keeper = this.world.keeper({ control: this.#control() })
    this.#keeper = keeper
    await keeper.restore()
    return keeper
  }

  /** A new issuer in the PKI: it issues at once, and vouches for agents when what is cached has had its time. */
  async rotate(cacheMs = CACHE_MS): Promise<void> {
    await this.world.server.rotateCa()
    this.#changesAt = this.world.clock.now() + cacheMs
  }

  /** The first issuer is the current one again, at once. */
  rotateBack(): void {
    this.world.server.ca = this.#first
    this.#changesAt = this.world.clock.now()
  }

  /** What entry sync and issuance do all the time; true where the server let the agent. */
  async sync(): Promise<boolean> {
    return (await this.#ask('entries')).status === 200
  }

  /** The same, and the answer carries the issuer. */
  async issue(): Promise<boolean> {
    const { status } = await this.#ask('sign_workload')
    if (status === 200) this.#keeper?.certificates.issuersNamed([this.world.server.ca.der])
    return status === 200
  }

  /** Requests of which the server refused the certificate. */
  get refusals(): number {
    return this.requests.filter(({ status }) => status === 401).length
  }

  #control(): ControlPlane {
    const { server } = this.world
    return Object.assign(Object.create(server) as ControlPlane, {
      attestNode: async (...[request, signal]: Parameters<ControlPlane['attestNode']>) => {
        if (this.away) throw new AgentError('icp.unreachable', 'away')
        const node = await server.attestNode(request, signal)
        this.revoked = false
        this.#issued(node)
        return node
      },
      renewAgent: async (...[request, signal]: Parameters<ControlPlane['renewAgent']>) => {
        const response = await this.#ask('renew_agent')
        if (response.status !== 200) {
          throw errorOf({ endpoint: 'renew_agent', response, secrets: [], now: this.world.clock.now() })
        }
        const issued = await server.renewAgent(request, signal)
        this.#issued(issued)
        return issued
      },
    })
  }

  #issued({ chain }: IssuedCertificate): void {
    const certificate = new X509Certificate(chain[0] ?? Buffer.alloc(0))
    this.#certificates.set(BigInt(`0x${certificate.serialNumber}`).toString(16), certificate)
  }

  async #ask(endpoint: ServerEndpoint): Promise<HttpResponse> {
    const certificates = this.#keeper?.certificates
    if (!certificates) throw new TypeError('no agent has been started')
    const response = await presenting(
      certificates,
      endpoint,
      async (other) => this.#answer(endpoint, certificates.names()[other ? 1 : 0] ?? null),
      () => this.world.clock.now(),
    )
    if (response.status === 403) {
      certificates.inactive(errorOf({ endpoint, response, secrets: [], now: this.world.clock.now() }))
    }
    return response
  }

  #answer(endpoint: ServerEndpoint, serial: string | null): HttpResponse {
    if (this.away) throw new AgentError('icp.unreachable', 'away')
    if (this.world.clock.now() >= this.#changesAt) this.#verifiesAgainst = this.world.server.ca.der
    const certificate = serial === null ? null : this.#certificates.get(normal(serial))
    const verified = certificate?.verify(new X509Certificate(this.#verifiesAgainst).publicKey) === true
    const status = !verified ? 401 : this.revoked ? 403 : 200
    this.requests.push({ endpoint, serial, status })
    const text = { 200: '', 401: 'Client certificate could not be verified', 403: 'Agent is not active' }[status] ?? ''
    const code = status === 401 ? 'UNAUTHORIZED' : 'FORBIDDEN'
    const body = status === 200 ? {} : { error: { code, message: text } }
    return { status, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(body)) }
  }
}

/** The first certificate, by an attestation with the token that lies there. */
export async function attested(ca: ChangingCa): Promise<AgentSvidKeeper> {
  const keeper = await ca.start()
  await keeper.attempt(never())
  if (!keeper.current()) throw new TypeError('the first attestation failed')
  return keeper
}

/** Serial numbers come in two spellings. */
function normal(serial: string): string {
  return BigInt(`0x${serial.replaceAll(':', '')}`).toString(16)
}
