import { workloadAttestors } from '../../attestors/index.js'
import { subjectOf } from '../../attestors/shared/subject.js'
import type { Caller } from '../attestation/caller.js'
import type { AuditLog } from '../audit/audit-log.js'
import type { Config } from '../config/config.js'
import { apiEvents } from '../observability/api-events.js'
import { attestorEvents } from '../observability/attestor-events.js'
import { callerEvents } from '../observability/caller-events.js'
import { engineEvents } from '../observability/engine-events.js'
import { kubernetesEvents } from '../observability/kubernetes-events.js'
import { rateEvents } from '../observability/rate-events.js'
import { sdsEvents } from '../observability/sds-events.js'
import { shareOut } from '../platform/open-files.js'
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
import { watchLoneDigests } from './lone-digests.js'
import type { World } from './world.js'

/** How long the attestors have for one workload; less than a call is held. */
const ATTESTATION_DEADLINE_MS = 3_000
/** What a call that asks for a token may take. */
const UNARY_DEADLINE_MS = 10_000

/** The flow from a caller to its answer: the socket, attestation, decisions, both dialects. Nothing listens yet. */
export function composeRequestFlow(config: Config, world: World, server: ServerFlow, audit: AuditLog | null) {
  const { clock, random, kernel, log, metrics, observers = [] } = world
  const { limiter, http, rereadFiles, client, jwtKeys, jwtSvids, store, demand, schedule } = server
  const sinks = (name: string) => ({ log: log.named(name), metrics, observers })

  const { limits } = config.workloadApi
  const openFiles = shareOut(world.openFiles ?? null, limits.connections)
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
    // Neither the system's roots nor the proxy: the cluster has an authority of its own and is near.
    openHttp: (trust) => createHttpClient({ tls: trust, roots: () => [] }),
  })
  const api = apiEvents(sinks('workload-api'), clock)
  const ofSubject = (caller: Caller) => subjectOf(caller, kernel.ownCgroup)
  const heldGrants = () => audit?.heldGrants() ?? null
  const workloads = new Workloads({
    attestors: attestors.all,
    kernel,
    clock,
    random,
    events: attesting,
    deadlineMs: ATTESTATION_DEADLINE_MS,
    maxLingering: openFiles.lingering,
    store,
    demand,
    maxIdentities: config.workloadApi.maxIdentities,
    apiEvents: api,
    unmatched: (caller) => schedule.unmatched(ofSubject(caller)),
    heldGrants,
  })
  audit?.onReleased(() => workloads.decideAgain())
  const explainer = new Explainer({
    attestors: attestors.all,
    places: attestors.places,
    kernel,
    clock,
    deadlineMs: ATTESTATION_DEADLINE_MS,
    store,
    maxIdentities: config.workloadApi.maxIdentities,
    heldGrants,
    holdMs: config.workloadApi.holdMs,
    knownOf: (caller) => workloads.knownOf(caller),
    turn: () => new Promise((resolve) => setImmediate(resolve)),
  })
  const digestWanted = askedFor(store, 'unix:sha256', () => workloads.lookAgain('unix'))
  watchLoneDigests(store, ({ id, spiffeId }) => attesting.digestAlone(id, spiffeId.uri))
  const connections = new ConnectionRegistry({ ...limits, connections: openFiles.connections }, clock, workloads)
  const streams = new Streams({
    store,
    clock,
    events: api,
    holdMs: config.workloadApi.holdMs,
    stalledMs: limits.stalledStreamMs,
    allowUnauthenticatedVerifiers: config.workloadApi.allowUnauthenticatedVerifiers,
  })
  const jwt = new JwtCalls({
    store,
    jwt: jwtSvids,
    validation: new JwtValidation({
      mode: config.jwt.validation,
      store,
      judge: new JwtValidator({ controlPlane: client, limiter, clock, deadlineMs: UNARY_DEADLINE_MS }),
      keys: jwtKeys,
      clock,
    }),
    clock,
    events: api,
    holdMs: config.workloadApi.holdMs,
    deadlineMs: UNARY_DEADLINE_MS,
    allowUnauthenticatedVerifiers: config.workloadApi.allowUnauthenticatedVerifiers,
  })
  const fairness = {
    rates: new Rates(limits.rates, clock),
    turns: new FairQueue(clock, limits.rates.calls.burst),
    events: rateEvents(sinks('workload-api'), clock),
  }
  const sds = secretDiscovery({
    streams,
    names: config.sds.names,
    secrets: new Secrets(),
    validation: config.sds.disableSpiffeCertValidation ? 'plain' : 'spiffe',
    openToAll: config.workloadApi.allowUnauthenticatedVerifiers,
    snapshot: () => store.current,
    events: sdsEvents(sinks('workload-api'), clock),
    apiEvents: api,
    clock,
    holdMs: config.workloadApi.holdMs,
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
  /** At the configured path, or on a socket that was inherited. */
  const listen = async (inherited: number | null) => {
    const { socketPath } = config.agent
    await listener.open(inherited === null ? { socketPath, directory: socketDirectory } : { fd: inherited })
    api.serverStarted(socketPath)
  }

  return { openFiles, attestors, workloads, explainer, connections, streams, grpc, listener, listen }
}
