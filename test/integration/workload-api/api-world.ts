import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { type Client, credentials, Metadata, makeGenericClientConstructor } from '@grpc/grpc-js'
import { AgentError } from '../../../agent/errors.js'
import { apiEvents } from '../../../agent/observability/api-events.js'
import { socketPair } from '../../../agent/platform/socket-pair.js'
import { type CloseReason, Connection } from '../../../agent/workload-api/connection.js'
import type { ConnectionRegistry } from '../../../agent/workload-api/connections.js'
import type { Fairness } from '../../../agent/workload-api/fairness.js'
import { JwtCalls } from '../../../agent/workload-api/jwt-calls.js'
import { JwtValidation } from '../../../agent/workload-api/jwt-validation.js'
import type { RateLimits } from '../../../agent/workload-api/rates.js'
import { GrpcServer } from '../../../agent/workload-api/server.js'
import type { Service } from '../../../agent/workload-api/service.js'
import { Streams } from '../../../agent/workload-api/streams.js'
import { workloadApiServices } from '../../../agent/workload-api/workload-api-services.js'
import { FakeClock } from '../../fakes/clock.js'
import { registryWith } from '../../fakes/connections.js'
import { accountOf, fairnessWith } from '../../fakes/fairness.js'
import { authorityOf, DOMAIN, entryOf, issuedOf, snapshotOf } from '../../fakes/identities.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { FakeWorkload, workloadContext } from '../../fakes/workload.js'
import { TemporaryDirectory } from '../support/sockets.js'

export const SPIFFE = '/SpiffeWorkloadAPI'
export const AUTHSEC = '/spiffe.workload.SpiffeWorkloadAPI'
export const HEADER = { 'workload.spiffe.io': 'true' }
const MINE = { 'unix:uid': '1000' }
const HOUR = 3_600_000

/** The gRPC server on a real socket, with callers that the test makes up: no endpoint, no attestation, no sync. */
export class ApiWorld implements AsyncDisposable {
  readonly clock = new FakeClock()
  readonly sinks = new RecordedSinks()
  readonly #events = apiEvents(this.sinks, this.clock)
  /** What the workloads of callers work with. */
  readonly context = workloadContext({ clock: this.clock, apiEvents: this.#events })
  readonly store = this.context.store
  readonly workload = FakeWorkload.attested(MINE, [], this.context)
  /** Who the next connections come from; an error: nobody knows. */
  caller: FakeWorkload | AgentError = this.workload
  readonly closed: CloseReason[] = []
  readonly sockets: Socket[] = []
  readonly grpc: GrpcServer
  readonly connections: ConnectionRegistry
  readonly streams: Streams
  readonly #directory = new TemporaryDirectory()
  readonly fairness: Fairness
  /** Whom connections count against: subject and process. */
  account: readonly [string, string] = ['uid:1000', '1000:7']
  readonly #server: Server
  readonly #clients: Client[] = []
  readonly readiness = { ready: true, listeners: new Set<() => void>() }
  #accepted = 0

  private constructor(
    limits: { streamsPerConnection: number; maxMessageBytes: number },
    rates: Partial<RateLimits>,
    more: (world: ApiWorld) => readonly Service[],
  ) {
    const { clock, store } = this
    const events = this.#events
    this.fairness = fairnessWith(clock, rates, this.sinks)
    this.connections = registryWith(new FakeClock(), () => {
      if (this.caller instanceof AgentError) throw new TypeError('nobody')
      this.caller.hold()
      return this.caller
    })
    const shared = { store, clock, events, holdMs: 4_000 }
    this.streams = new Streams({ ...shared, stalledMs: 30_000, allowUnauthenticatedVerifiers: false })
    const jwt = new JwtCalls({
      ...shared,
      jwt: { want: () => Promise.reject(new AgentError('svid.pending', 'there is none')) },
      validation: new JwtValidation({
        mode: 'local',
        store,
        remote: { validate: () => Promise.reject(new AgentError('icp.unreachable', 'there is no server')) },
        keys: { reconsider: () => Promise.resolve(false) },
        clock,
      }),
      deadlineMs: 10_000,
      allowUnauthenticatedVerifiers: false,
    })
    this.grpc = new GrpcServer({
      services: [...workloadApiServices(this.streams, jwt, limits), ...more(this)],
      connections: this.connections,
      clock,
      events,
      streams: this.streams,
      jwt,
      socketPair,
      fairness: this.fairness,
      readiness: {
        ready: () => this.readiness.ready,
        onChange: (changed) => {
          this.readiness.listeners.add(changed)
          return { [Symbol.dispose]: () => void this.readiness.listeners.delete(changed) }
        },
      },
    })
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.accept(socket))
  }

  static async listen(
    limits = { streamsPerConnection: 100, maxMessageBytes: 65_536 },
    rates: Partial<RateLimits> = {},
    more: (world: ApiWorld) => readonly Service[] = () => [],
  ): Promise<ApiWorld> {
    const world = new ApiWorld(limits, rates, more)
    world.#server.listen(world.path)
    await once(world.#server, 'listening')
    return world
  }

  get path(): string {
    return this.#directory.file('api.sock')
  }

  get address(): string {
    return `unix://${this.path}`
  }

  /** What the endpoint does with a connection, for a caller of our choice. */
  accept(socket: Socket): void {
    const id = `c${++this.#accepted}`
    Object.defineProperty(socket, 'remoteAddress', { value: id, configurable: true })
    Object.defineProperty(socket, 'remotePort', { value: undefined, configurable: true })
    socket.on('error', () => socket.destroy())
    this.sockets.push(socket)
    const connection = new Connection({
      id,
      ...accountOf(this.fairness, ...this.account),
      caller: this.caller instanceof AgentError ? { error: this.caller } : this.caller.caller,
      socket,
      onClose: (_connection, reason) => this.closed.push(reason),
    })
    const excess = this.connections.excess(connection.quota)
    if (excess) {
      connection.close(excess)
      return
    }
    this.connections.add(connection)
    this.grpc.accept(connection)
  }

  /** Entries of the workload, each with an SVID of that serial number; null: not issued. */
  show(serials: Readonly<Record<string, string | null>>): void {
    const entries = Object.keys(serials).map((id, createdAt) => entryOf(id, { selectors: MINE, createdAt }))
    const now = this.clock.now()
    const states = Object.entries(serials).flatMap(([id, serial]) =>
      serial === null ? [] : [[id, issuedOf(id, { serial, notBefore: now, notAfter: now + HOUR })] as const],
    )
    const bundles = new Map(
      [DOMAIN, 'other.org'].map((trustDomain) => [
        trustDomain,
        { trustDomain, authorities: [authorityOf(trustDomain)] },
      ]),
    )
    this.store.publish(snapshotOf(entries, Object.fromEntries(states), { bundles }), { entries: 'all', bundles: true })
  }

  /** A client of its own connection, without any client library's own opinions. */
  client(): Client {
    const Raw = makeGenericClientConstructor({}, 'raw')
    const client = new Raw(this.address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
    this.#clients.push(client)
    return client
  }

  /** A bare connection. */
  async connect(): Promise<Socket> {
    const socket = connect(this.path)
    socket.on('error', () => socket.destroy())
    await once(socket, 'connect')
    return socket
  }

  /** Calls that run on one connection, or on all of them. */
  callsOn(id: string): number {
    return this.connections.of(id)?.calls ?? 0
  }

  get callsRunning(): number {
    return Array.from({ length: this.#accepted }, (_, i) => this.callsOn(`c${i + 1}`)).reduce(
      (sum, one) => sum + one,
      0,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close()
    for (const socket of this.sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
    this.#directory[Symbol.dispose]()
  }
}

export function metadataOf(headers: Readonly<Record<string, string | readonly string[]>>): Metadata {
  const metadata = new Metadata()
  for (const [key, values] of Object.entries(headers)) for (const value of [values].flat()) metadata.add(key, value)
  return metadata
}

export function same(bytes: Buffer): Buffer {
  return bytes
}
