import { createAgentSvidKeeper } from '../../../agent/agent-svid/create-keeper.js'
import type { NodeAttestationType, NodeAttestor } from '../../../agent/agent-svid/evidence.js'
import type { AgentSvidKeeper } from '../../../agent/agent-svid/run.js'
import { Secret } from '../../../agent/crypto/secret.js'
import type { Tier } from '../../../agent/errors.js'
import { createCommonName } from '../../../agent/icp/common-name.js'
import type { ControlPlane } from '../../../agent/icp/control-plane.js'
import { limitedControlPlane } from '../../../agent/icp/limited-control-plane.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { ServerReachability } from '../../../agent/icp/server-reachability.js'
import type { RenewalThreshold } from '../../../agent/lib/renewal-time.js'
import { fileEvents } from '../../../agent/observability/file-events.js'
import { nodeEvents } from '../../../agent/observability/node-events.js'
import type { Files } from '../../../agent/ports/files.js'
import { joinTokenNodeAttestor } from '../../../attestors/join-token/node.js'
import { kubernetesNodeAttestor } from '../../../attestors/kubernetes/node.js'
import { unixNodeAttestor } from '../../../attestors/unix/node.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { FakeControlPlane, TENANT } from '../../fakes/control-plane.js'
import { FixedKeys } from '../../fakes/keys.js'
import { MemoryFiles } from '../../fakes/memory-files.js'
import { fixedRandom } from '../../fakes/random.js'
import { RecordedSinks } from '../../fakes/sinks.js'

export const IDENTITY_FILE = '/data/agent-identity.json'
export const TOKEN_FILE = '/etc/icp-agent/join-token'
export const MINUTE = 60_000

export interface WorldOptions {
  readonly generation?: 'tenant' | 'workspace'
  readonly agentTtlMs?: number
  readonly type?: 'auto' | NodeAttestationType
  readonly threshold?: RenewalThreshold
  readonly joinToken?: string
  readonly joinTokenPath?: string | null
  readonly nodeId?: string
  readonly dataDir?: string
}

interface Overrides extends Partial<WorldOptions> {
  readonly control?: ControlPlane
  readonly files?: Files
}

/** A server, a disk and a clock, and agents that come and go on them. */
export class World {
  readonly files = new MemoryFiles()
  sinks = new RecordedSinks()
  /** What each request of an attempt was charged to. */
  readonly charged: Tier[] = []
  /** How far the server's clock is said to be ahead of ours; null: it was never heard of. */
  skew: () => number | null = () => null
  private constructor(
    readonly clock: FakeClock,
    readonly server: FakeControlPlane,
    readonly keys: FixedKeys,
    readonly options: WorldOptions,
  ) {}

  static async create(options: WorldOptions = {}): Promise<World> {
    const clock = new FakeClock()
    const { generation = 'tenant', agentTtlMs, nodeId } = options
    const server = await FakeControlPlane.create({
      clock,
      generation,
      ...(agentTtlMs === undefined ? {} : { agentTtlMs }),
      ...(nodeId === undefined ? {} : { nodeId }),
    })
    return new World(clock, server, await FixedKeys.create(4), options)
  }

  /** Has a token made on the server and puts it into the file. */
  giveToken(): string {
    const token = this.server.mintToken().reveal()
    this.files.content.set(TOKEN_FILE, Buffer.from(`${token}\n`))
    return token
  }

  /** An agent as after a start: nothing in memory, logging anew. */
  keeper(overrides: Overrides = {}): AgentSvidKeeper {
    const options = { ...this.options, ...overrides }
    const { clock, keys } = this
    const files = overrides.files ?? this.files
    const random = fixedRandom(0.5)
    this.sinks = new RecordedSinks()
    const attestors: Record<NodeAttestationType, NodeAttestor> = {
      unix: unixNodeAttestor({ pid: 7, username: 'root', hostname: 'node-1' }),
      docker: { ...unixNodeAttestor({ pid: 7, username: 'root', hostname: 'node-1' }), applies: async () => false },
      kubernetes: kubernetesNodeAttestor({
        files,
        fileEvents: fileEvents(this.sinks.log, clock),
        inPod: false,
        tokenPath: '/var/run/token',
        clusterName: 'c',
      }),
      join_token: joinTokenNodeAttestor(),
    }
    return createAgentSvidKeeper({
      clock,
      random,
      files,
      keys,
      control: limitedControlPlane(
        overrides.control ?? this.server,
        { limiter: this.#limiter(), reachability: new ServerReachability(clock) },
        () => this.options.generation === 'workspace',
      ),
      skew: () => this.skew(),
      withCommonName: createCommonName({ mode: 'auto' }),
      events: nodeEvents(this.sinks, clock),
      agent: { tenantId: TENANT, nodeId: options.nodeId ?? this.server.nodeId, dataDir: options.dataDir ?? '/data' },
      attestation: { type: options.type ?? 'auto', attestors },
      joinToken: {
        token: options.joinToken === undefined ? null : new Secret(options.joinToken),
        path: options.joinTokenPath === undefined ? TOKEN_FILE : options.joinTokenPath,
      },
      threshold: options.threshold ?? { ms: 6 * 60 * MINUTE, explicit: false },
      backoff: { baseMs: 5000 },
    })
  }

  #limiter(): RateLimiter {
    const limiter = new RateLimiter(this.clock, fixedRandom())
    return Object.assign(limiter, { charge: (tier: Tier) => void this.charged.push(tier) })
  }

  /** A keeper that has restored and attested. */
  async attested(): Promise<AgentSvidKeeper> {
    const keeper = this.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    if (keeper.current() === null) throw new TypeError('the first attestation failed')
    return keeper
  }

  /** Time passes in steps, so that what an attempt does on other turns of the event loop is over before the next. */
  async pass(by: number, step = 1000): Promise<void> {
    for (let left = by; left > 0; left -= step) {
      await this.clock.advance(Math.min(step, left))
      for (let i = 0; i < 3; i++) await settle()
    }
  }
}

export const never = (): AbortSignal => new AbortController().signal

/** A slot that is always open. */
export const open: Pick<RateLimiter, 'whenOpen'> = { whenOpen: (_tier, _signal, ask) => ask() }
