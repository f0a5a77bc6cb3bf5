import { workloadAttestors } from '../../attestors/index.js'
import { subjectOf } from '../../attestors/shared/subject.js'
import type { Caller } from '../attestation/caller.js'
import type { AuditLog } from '../audit/audit-log.js'
import { apiEvents } from '../observability/api-events.js'
import { attestorEvents } from '../observability/attestor-events.js'
import { callerEvents } from '../observability/caller-events.js'
import { engineEvents } from '../observability/engine-events.js'
import { kubernetesEvents } from '../observability/kubernetes-events.js'
import { rateEvents } from '../observability/rate-events.js'
import { sdsEvents } from '../observability/sds-events.js'
import { socketDirectory } from '../platform/socket-directory.js'
import { socketPair } from '../platform/socket-pair.js'
import { createHttpClient } from '../platform/undici-http.js'
import { readVersioned } from '../platform/versioned-file.js'
import { JwtValidator } from '../svids/validate-jwt.js'
import { ConnectionRegistry } from '../workload-api/connections.js'
import { Explainer } from '../workload-api/explainer.js'
import { FairQueue } from '../workload-api/fair-queue.js'
import { JwtCalls } from '../workload-api/jwt-calls.js'
import { JwtValidation } from '../workload-api/jwt-validation.js'
import { Listener } from '../workload-api/listener.js'
import { Rates } from '../workload-api/rates.js'
import { Secrets } from '../workload-api/sds/secrets.js'
import { secretDiscovery } from '../workload-api/sds/service.js'
import { GrpcServer } from '../workload-api/server.js'
import { Streams } from '../workload-api/streams.js'
import { workloadApiServices } from '../workload-api/workload-api-services.js'
import { Workloads } from '../workload-api/workloads.js'
import { askedFor } from './asked-for.js'
import type { ServerFlow } from './compose-server-flow.js'
import { anyOf, type LiveConfig } from './live-config.js'
import { watchLoneDigests } from './lone-digests.js'
import { openFileShare } from './open-file-share.js'
import type { Reloadable } from './reload.js'
import type { World } from './world.js'

/** Deadline of the attestors for one workload; shorter than the default hold. */
const ATTESTATION_DEADLINE_MS = 3_000
/** The longest duration of a call for a token. */
const UNARY_DEADLINE_MS = 10_000

/** Composes the flow from a caller to its answer: socket, attestation, decisions, both dialects. Nothing listens yet. */
export function composeRequestFlow(live: LiveConfig, world: World, server: ServerFlow, audit: AuditLog) {
  const { config } = live
  const { clock, random, kernel, log, metrics, observers = [] } = world
  const { limiter, http, rereadFiles, client, jwtKeys, jwtSvids, store, demand, schedule } = server
  const sinks = (name: string) => ({ log: log.named(name), metrics, observers })

  const { limits } = config.workloadApi
  const openFiles = openFileShare(world.openFiles ?? null, limits)
  const attesting = callerEvents(sinks('attestation'), clock)
  const engine = engineEvents(sinks('attestation'), clock)
  const attestors = workloadAttestors(config, {
    ...world,
    http,
    readVersioned,
    fileEvents: rereadFiles,
    events: attesting,
    digestWanted: () => digestWanted(),
    attestorEvents: attestorEvents(sinks('attestation')),
    engineEvents: engine,
    kubernetesEvents: kubernetesEvents(sinks('attestation'), clock),
    // Without the system's roots and the proxy: the cluster has its own authority and is reached directly.
    openHttp: (trust) => createHttpClient({ tls: trust, roots: () => [] }),
  })
  const api = apiEvents(sinks('workload-api'), clock)
  const ofSubject = (caller: Caller) => subjectOf(caller, kernel.ownCgroup)
  const heldGrants = () => audit.heldGrants()
  const workloads = new Workloads({
    get attestors() {
      return attestors.all
    },
    kernel,
    clock,
    random,
    events: attesting,
    deadlineMs: ATTESTATION_DEADLINE_MS,
    get maxLingering() {
      return openFiles().lingering
    },
    store,
    demand,
    get maxIdentities() {
      return config.workloadApi.maxIdentities
    },
    apiEvents: api,
    unmatched: (caller) => schedule.unmatched(ofSubject(caller)),
    heldGrants,
  })
  audit.onReleased(() => workloads.decideAgain())
  const explainer = new Explainer({
    get attestors() {
      return attestors.all
    },
    places: attestors.places,
    kernel,
    clock,
    deadlineMs: ATTESTATION_DEADLINE_MS,
    store,
    get maxIdentities() {
      return config.workloadApi.maxIdentities
    },
    heldGrants,
    get holdMs() {
      return config.workloadApi.holdMs
    },
    knownOf: (caller) => workloads.knownOf(caller),
    turn: () => new Promise((resolve) => setImmediate(resolve)),
  })
  const digestWanted = askedFor(store, 'unix:sha256', () => workloads.lookAgain('unix'))
  watchLoneDigests(store, ({ id, spiffeId }) => attesting.digestAlone(id, spiffeId.uri))
  const connectionLimits = {
    get connections() {
      return openFiles().connections
    },
    get connectionsPerSubject() {
      return limits.connectionsPerSubject
    },
    get connectionsPerPid() {
      return limits.connectionsPerPid
    },
    get idleConnectionMs() {
      return limits.idleConnectionMs
    },
  }
  const connections = new ConnectionRegistry(connectionLimits, clock, workloads)
  const streams = new Streams({
    store,
    clock,
    events: api,
    get holdMs() {
      return config.workloadApi.holdMs
    },
    get stalledMs() {
      return limits.stalledStreamMs
    },
    get allowUnauthenticatedVerifiers() {
      return config.workloadApi.allowUnauthenticatedVerifiers
    },
  })
  const jwt = new JwtCalls({
    store,
    jwt: jwtSvids,
    validation: new JwtValidation({
      get mode() {
        return config.jwt.validation
      },
      store,
      remote: new JwtValidator({ controlPlane: client, limiter, clock, deadlineMs: UNARY_DEADLINE_MS }),
      keys: jwtKeys,
      clock,
    }),
    clock,
    events: api,
    get holdMs() {
      return config.workloadApi.holdMs
    },
    deadlineMs: UNARY_DEADLINE_MS,
    get allowUnauthenticatedVerifiers() {
      return config.workloadApi.allowUnauthenticatedVerifiers
    },
  })
  const fairness = {
    rates: new Rates(limits.rates, clock),
    queue: new FairQueue(clock, limits.rates.calls),
    events: rateEvents(sinks('workload-api'), clock),
  }
  const sds = secretDiscovery({
    streams,
    names: config.sds.names,
    secrets: new Secrets(),
    validation: config.sds.disableSpiffeCertValidation ? 'plain' : 'spiffe',
    settings: config.workloadApi,
    snapshot: () => store.current,
    events: sdsEvents(sinks('workload-api'), clock),
    apiEvents: api,
    clock,
    charge: ({ account }) => fairness.rates.call(account) !== null,
  })
  const grpc = new GrpcServer({
    services: [...workloadApiServices(streams, jwt, limits), ...(config.sds.enabled ? [sds] : [])],
    connections,
    streams,
    jwt,
    events: api,
    clock,
    socketPair,
    fairness,
    readiness: {
      ready: () => store.current.synced,
      onChange: (changed) => store.watch(changed),
    },
  })
  const listener = new Listener({
    kernel,
    connections,
    subjectOf: ofSubject,
    clock,
    events: attesting,
    fairness,
    onConnection: (connection) => grpc.accept(connection),
  })
  /** The configured path, or an inherited socket. */
  const listen = async (inherited: number | null) => {
    const { socketPath } = config.agent
    await listener.open(inherited === null ? { socketPath, directory: socketDirectory } : { fd: inherited })
    api.serverStarted(socketPath)
  }

  const reloadable: Reloadable = {
    setting: 'attestation.type',
    prepare: (after) => {
      const change = attestors.prepare(after)
      if (!change) return null
      return {
        commit: () => workloads.attestorsChanged(change.commit()),
        [Symbol.dispose]: () => change[Symbol.dispose](),
      }
    },
  }
  live.subscribe((changed) => {
    if (anyOf(changed, 'workload_api.max_identities')) workloads.decideAgain()
    if (anyOf(changed, 'workload_api.limits.idle_connection')) connections.reconsider()
    if (anyOf(changed, 'workload_api.hold', 'workload_api.allow_unauthenticated')) streams.reconsider()
  })

  return { openFiles, reloadable, attestors, workloads, explainer, connections, streams, grpc, listener, listen }
}
