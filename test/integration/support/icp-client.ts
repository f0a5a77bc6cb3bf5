import type { KeyObject } from 'node:crypto'
import { pkcs8Pem } from '../../../agent/crypto/keys.js'
import { pemFromDer } from '../../../agent/crypto/pem.js'
import { createIcpClient, type IcpClient } from '../../../agent/icp/client.js'
import type { IssuedCertificate } from '../../../agent/icp/control-plane.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { ServerReachability } from '../../../agent/icp/server-reachability.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { serverEvents } from '../../../agent/observability/server-events.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { createHttpClient } from '../../../agent/platform/undici-http.js'
import type { HttpTls } from '../../../agent/ports/http.js'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import type { Generation } from '../../../dev/icp-server/options.js'
import { fixedRandom } from '../../fakes/random.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { type OpenDevIcp, openDevIcp } from './dev-icp.js'

export interface Setup extends AsyncDisposable {
  readonly icp: DevIcp
  readonly client: IcpClient
  readonly sinks: RecordedSinks
  readonly nodeId: string
  readonly agent: SpiffeId
  /** The same node with another deadline and number of repetitions. */
  clientWith(settings: { timeoutMs?: number; maxRetries?: number }): IcpClient
  /** What the client presents from now on. */
  present(key: KeyObject, issued: IssuedCertificate): void
}

/** One embedded server of each generation for a whole test file: their keys take long to make. */
export class Servers implements AsyncDisposable {
  readonly #open = new Map<Generation, OpenDevIcp>()
  #nodes = 0

  /** A node of its own before the server; disposing takes every entry and fault away again. */
  async setUp(generation: Generation): Promise<Setup> {
    const { icp } = await this.#server(generation)
    let tls: HttpTls = { ca: [icp.caPem] }
    // The server's CA alone: reading the system's takes longer than a test.
    const http = createHttpClient({ tls: () => tls, roots: () => [] })
    const sinks = new RecordedSinks()
    const clock = new SystemClock()
    const nodeId = `node-${++this.#nodes}`
    const events = serverEvents(sinks, clock)
    const limiter = new RateLimiter(clock, fixedRandom())
    const clientWith: Setup['clientWith'] = ({ timeoutMs = 10_000, maxRetries = 0 }) =>
      createIcpClient({
        settings: { address: icp.address, timeoutMs, maxRetries, retryBackoffMs: 10 },
        tenantId: icp.tenantId,
        nodeId,
        http,
        limiter,
        reachability: new ServerReachability(clock),
        clock,
        random: fixedRandom(),
        events,
      })
    return {
      icp,
      client: clientWith({}),
      clientWith,
      sinks,
      nodeId,
      agent: SpiffeId.parse(`spiffe://${icp.tenantId}/agent/${nodeId}`),
      present: (key, issued) => {
        const certificate = issued.chain.map((der) => pemFromDer(der, 'CERTIFICATE')).join('')
        tls = { ca: [icp.caPem], identity: { certificate, key: pkcs8Pem(key) } }
      },
      [Symbol.asyncDispose]: async () => {
        await http[Symbol.asyncDispose]()
        icp.clearFaults()
        for (const { id } of icp.entries) await icp.deleteEntry(id)
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const open of this.#open.values()) await open[Symbol.asyncDispose]()
  }

  async #server(generation: Generation): Promise<OpenDevIcp> {
    const open = this.#open.get(generation) ?? (await openDevIcp({ generation, workloadTrustDomain: 'acme.example' }))
    this.#open.set(generation, open)
    return open
  }
}
