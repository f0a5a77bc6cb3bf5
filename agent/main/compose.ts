import { join } from 'node:path'
import { nodeAttestors, workloadAttestors } from '../../attestors/index.js'
import { Workloads } from '../attestation/workloads.js'
import type { Config } from '../config/config.js'
import { KeyPool } from '../crypto/keys.js'
import { type Listener, listen } from '../endpoint/listener.js'
import { Budget, type Tier } from '../icp/budget.js'
import { createIcpClient } from '../icp/client.js'
import { createCommonName } from '../icp/common-name.js'
import { Contact } from '../icp/contact.js'
import { pacedControlPlane } from '../icp/paced.js'
import { tlsIdentity } from '../node/agent-identity.js'
import { createIdentityKeeper } from '../node/create-keeper.js'
import { apiEvents } from '../observability/api-events.js'
import { attestorEvents } from '../observability/attestor-events.js'
import { callerEvents } from '../observability/caller-events.js'
import { engineEvents } from '../observability/engine-events.js'
import { jwtEvents } from '../observability/jwt-events.js'
import { kubernetesEvents } from '../observability/kubernetes-events.js'
import type { Log } from '../observability/log.js'
import type { Metrics } from '../observability/metrics.js'
import { nodeEvents } from '../observability/node-events.js'
import { serverEvents } from '../observability/server-events.js'
import { syncEvents } from '../observability/sync-events.js'
import { socketDirectory } from '../platform/socket-directory.js'
import { createHttpClient } from '../platform/undici-http.js'
import { readVersioned } from '../platform/versioned-file.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import type { TlsSettings } from '../ports/http.js'
import type { Kernel } from '../ports/kernel.js'
import type { NodeFacts } from '../ports/node-facts.js'
import type { Random } from '../ports/random.js'
import { Demand } from '../store/demand.js'
import { IdentityStore } from '../store/identity-store.js'
import { JwtCache } from '../store/jwt-cache.js'
import { JwtJudge } from '../sync/judge-jwt.js'
import { JwtKeys } from '../sync/jwt-keys.js'
import { JwtSvids } from '../sync/jwt-svids.js'
import { Sync } from '../sync/sync.js'
import { SyncPace } from '../sync/sync-pace.js'
import { GrpcServer } from '../workload-api/grpc-server.js'
import { JwtCalls } from '../workload-api/jwt-calls.js'
import { JwtValidation } from '../workload-api/jwt-validation.js'
import { Sessions } from '../workload-api/sessions.js'
import { Streams } from '../workload-api/streams.js'
import { ExtraRoots } from './extra-roots.js'

/** The world as the agent sees it; tests put others in its place. */
export interface World {
  readonly clock: Clock
  readonly random: Random
  readonly files: Files
  readonly kernel: Kernel
  readonly log: Log
  readonly metrics: Metrics
  readonly node: NodeFacts
  /** KUBERNETES_SERVICE_HOST is set. */
  readonly inPod: boolean
  /** Where the environment says that the Kubernetes API is, `https://10.96.0.1:443`; null outside of pods. */
  readonly kubernetesApi: string | null
}

export type Agent = ReturnType<typeof compose>

/** How long the attestors have for one workload; less than a call is held. */
const ATTESTATION_DEADLINE_MS = 3_000
/** A new issuer is shown in bundles for so many polls before an SVID of its is. */
const POLLS_BEFORE_TRUST = 2
/** What a call that asks for a token may take. */
const UNARY_DEADLINE_MS = 10_000

/** The object graph, built once; nothing runs yet. The order is that of the two flows. */
export function compose(config: Config, world: World) {
  const { clock, random, files, kernel, log, metrics } = world
  const sinks = (name: string) => ({ log: log.named(name), metrics })
  const { tenantId, nodeId } = config.agent
  const threshold = { ms: config.agent.renewalThresholdMs, explicit: config.agent.renewalThresholdExplicit }

  // Server flow: the ICP server, the agent's own identity, sync.
  const budget = new Budget(clock, random)
  const pace = new SyncPace(clock, random, config.sync)
  const events = syncEvents(sinks('sync'), clock)
  const extraRoots = new ExtraRoots({ path: config.icpService.trustBundlePath, files, clock, log: log.named('icp') })
  let tls: TlsSettings = { ca: [] }
  const http = createHttpClient({ tls: () => tls, proxy: config.icpService.proxy })
  const client = createIcpClient({
    settings: config.icpService,
    tenantId,
    nodeId,
    http,
    clock,
    random,
    events: serverEvents(sinks('icp'), clock),
  })
  const contact = new Contact(clock)
  const stretch = {
    limited: (tier: Tier) => {
      if (tier === 'standard') pace.limited()
    },
  }
  const controlPlane = pacedControlPlane(client, budget, stretch, contact)
  const keys = new KeyPool()
  const keeper = createIdentityKeeper({
    clock,
    random,
    files,
    control: controlPlane,
    keys,
    withCommonName: createCommonName(config.icpService.csrCommonName),
    events: nodeEvents(sinks('node'), clock),
    agent: config.agent,
    attestation: { type: config.attestation.type, attestors: nodeAttestors(config, world, http) },
    joinToken: { token: config.agent.joinToken, path: config.agent.joinTokenPath },
    threshold,
    backoff: { baseMs: config.icpService.retryBackoffMs },
  })

  const store = new IdentityStore()
  const demand = new Demand(clock)
  const sync = new Sync({
    store,
    demand,
    pace,
    controlPlane,
    keys,
    withCommonName: createCommonName(config.icpService.csrCommonName),
    clock,
    random,
    events,
    threshold,
    account: tenantId,
    trustDelayMs: POLLS_BEFORE_TRUST * config.sync.bundleIntervalMs,
    retryBackoffMs: config.icpService.retryBackoffMs,
    revokeRemoved: config.security.revokeRemoved,
  })

  const jwtLog = jwtEvents(sinks('jwt'))
  const jwtKeys = new JwtKeys({ store, controlPlane, budget, clock, events: jwtLog })
  const jwtSvids = new JwtSvids({
    store,
    demand,
    cache: new JwtCache(),
    budget,
    controlPlane,
    keys: jwtKeys,
    clock,
    events: jwtLog,
    onVerified: (trustDomain, until) => sync.spokeFor(trustDomain, until),
  })

  /** The agent's own certificate changed: new connections present it, its authorities are trusted. */
  const refreshTls = () => {
    const identity = keeper.current()
    tls = { ca: extraRoots.current, ...(identity ? { identity: tlsIdentity(identity) } : {}) }
  }
  const onIdentity = () => {
    const identity = keeper.current()
    if (!identity) return
    refreshTls()
    client.learnGeneration(identity.workspace)
    sync.trust(identity.authorities)
    jwtSvids.wake()
  }
  keeper.subscribe(onIdentity)
  contact.onReturn(() => keeper.serverReturned())

  // Request flow: the socket, callers, verdicts.
  const attesting = callerEvents(sinks('attestation'))
  const engine = engineEvents(sinks('attestation'), clock)
  const attestors = workloadAttestors(config, {
    ...world,
    http,
    readVersioned,
    events: attesting,
    attestorEvents: attestorEvents(sinks('attestation')),
    engineEvents: engine,
    kubernetesEvents: kubernetesEvents(sinks('attestation'), clock),
    // Neither the system's roots nor the proxy: the cluster has an authority of its own and is near.
    openHttp: (trust) => createHttpClient({ tls: trust, roots: () => [] }),
  })
  const workloads = new Workloads({
    attestors: attestors.all,
    kernel,
    clock,
    random,
    events: attesting,
    deadlineMs: ATTESTATION_DEADLINE_MS,
  })
  const api = apiEvents(sinks('workload-api'))
  const sessions = new Sessions((caller) => workloads.acquire(caller), {
    store,
    demand,
    maxIdentities: config.workloadApi.maxIdentities,
    events: api,
  })
  const late: { listener: Listener | null } = { listener: null }
  const calls = {
    callStarted: (id: string) => late.listener?.connections.callStarted(id),
    callEnded: (id: string) => late.listener?.connections.callEnded(id),
  }
  const streams = new Streams({
    store,
    sessions,
    clock,
    events: api,
    holdMs: config.workloadApi.holdMs,
    stalledMs: config.workloadApi.limits.stalledStreamMs,
    allowUnauthenticatedVerifiers: config.workloadApi.allowUnauthenticatedVerifiers,
    calls,
  })
  const jwt = new JwtCalls({
    store,
    sessions,
    jwt: jwtSvids,
    validation: new JwtValidation({
      mode: config.jwt.validation,
      store,
      judge: new JwtJudge({ controlPlane, budget, clock, deadlineMs: UNARY_DEADLINE_MS }),
      keys: jwtKeys,
      clock,
    }),
    clock,
    events: api,
    holdMs: config.workloadApi.holdMs,
    deadlineMs: UNARY_DEADLINE_MS,
    allowUnauthenticatedVerifiers: config.workloadApi.allowUnauthenticatedVerifiers,
    calls,
  })
  const grpc = new GrpcServer({
    sessions,
    streams,
    jwt,
    events: api,
    clock,
    limits: config.workloadApi.limits,
    readiness: {
      ready: () => store.current.synced,
      onChange: (changed) => store.watch(changed),
    },
  })
  const listenOnSocket = async (inherited: number | null) => {
    late.listener = await listen({
      kernel,
      limits: config.workloadApi.limits,
      subjectOf: (caller) => `uid:${caller.uid}`,
      clock,
      events: attesting,
      onConnection: (connection) => grpc.accept(connection),
      ...(inherited === null ? { socketPath: config.agent.socketPath, directory: socketDirectory } : { fd: inherited }),
    })
    api.serverStarted(config.agent.socketPath)
    return late.listener
  }

  return {
    config,
    clock,
    budget,
    pace,
    http,
    client,
    contact,
    extraRoots,
    refreshTls,
    keys,
    jwtKeys,
    jwtSvids,
    keeper,
    store,
    demand,
    sync,
    events,
    attestors,
    workloads,
    streams,
    grpc,
    sessions,
    late,
    listenOnSocket,
    lockPath: join(config.agent.dataDir, 'agent.lock'),
  }
}
