import type { AgentSvid } from '../agent-svid/agent-svid.js'
import { createAgentSvidKeeper } from '../agent-svid/create-keeper.js'
import type { AgentSvidState } from '../agent-svid/state.js'
import { KeyPool } from '../crypto/keys.js'
import type { ErrorCode } from '../errors.js'
import { createIcpClient } from '../icp/client.js'
import type { ClientCertificates } from '../icp/client-certificates.js'
import { commonNameOf, createCommonName, workloadCommonName } from '../icp/common-name.js'
import { ENDPOINTS } from '../icp/endpoints.js'
import { SHORTEST } from '../icp/limits.js'
import { RateLimiter } from '../icp/rate-limiter.js'
import { ServerReachability } from '../icp/server-reachability.js'
import { ICP_SERVER } from '../icp/transport.js'
import { fileEvents } from '../observability/file-events.js'
import { jwtEvents } from '../observability/jwt-events.js'
import { nodeEvents } from '../observability/node-events.js'
import { serverEvents } from '../observability/server-events.js'
import { syncEvents } from '../observability/sync-events.js'
import { createHttpClient } from '../platform/undici-http.js'
import { pollBundle } from '../svids/bundle-polls.js'
import { Demand } from '../svids/demand.js'
import { EntrySync } from '../svids/entries.js'
import { EntryChanges } from '../svids/entry-changes.js'
import { Issuance } from '../svids/issuance.js'
import { JwtCache } from '../svids/jwt-cache.js'
import { JwtKeys } from '../svids/jwt-keys.js'
import { JwtSvids } from '../svids/jwt-svids.js'
import { PassingTime } from '../svids/passing-time.js'
import { Publisher } from '../svids/publisher.js'
import { type EarlierRun, restoreSnapshot } from '../svids/restore.js'
import { Revocations } from '../svids/revocations.js'
import { SvidStore } from '../svids/store.js'
import { SyncSchedule } from '../svids/sync-schedule.js'
import { ExtraRoots } from './extra-roots.js'
import { anyOf, type LiveConfig } from './live-config.js'
import { nodeAttesting } from './node-attesting.js'
import { tlsSettings } from './tls-settings.js'
import type { World } from './world.js'

/** Composes the flow from the ICP server: agent SVID, entries, SVIDs, bundles, tokens. Nothing runs yet. */
export type ServerFlow = ReturnType<typeof composeServerFlow>

/** Number of bundle polls that a new issuer is distributed before its SVIDs are served. */
const POLLS_BEFORE_TRUST = 2

export function composeServerFlow(live: LiveConfig, world: World) {
  const { config } = live
  const { clock, random, files, log, metrics, observers = [] } = world
  const sinks = (name: string) => ({ log: log.named(name), metrics, observers })
  const { tenantId, nodeId } = config.agent
  // Getters, as below, because a reload may change the values.
  const threshold = {
    get ms() {
      return config.agent.renewalThresholdMs
    },
    get explicit() {
      return config.agent.renewalThresholdExplicit
    },
  }

  const limiter = new RateLimiter(clock, random)
  const schedule = new SyncSchedule(clock, random, config.sync, limiter)
  const events = syncEvents(sinks('sync'), clock)
  const requests = serverEvents(sinks('icp'), clock)
  requests.expects(Object.keys(ENDPOINTS))
  const rereadFiles = fileEvents(log.named('files'), clock)
  const extraRoots = new ExtraRoots({
    path: config.icpService.trustBundlePath,
    files,
    fileEvents: rereadFiles,
    clock,
    log: log.named('icp'),
  })
  const proxy = () => {
    const { httpsProxy, noProxy } = config.icpService.proxy
    return { httpsProxy: httpsProxy?.reveal() ?? null, noProxy }
  }
  const tls = tlsSettings({
    identity: () => keeper.certificates.current(),
    other: () => keeper.certificates.other(),
    roots: () => extraRoots.current,
  })
  const certificates: ClientCertificates = {
    names: () => keeper.certificates.names(),
    accepted: (name) => keeper.certificates.accepted(name),
    refused: (error) => keeper.certificates.refused(error),
    inactive: (error) => keeper.certificates.inactive(error),
    failsAt: () => keeper.certificates.failsAt(),
    failed: (place) => keeper.certificates.failed(place),
  }
  const http = createHttpClient({ tls, proxy, peer: ICP_SERVER })
  const reachability = new ServerReachability(clock)
  const client = createIcpClient({
    settings: config.icpService,
    tenantId,
    nodeId,
    http,
    limiter,
    reachability,
    clock,
    random,
    events: requests,
    tracing: world.tracing,
    certificates,
    onLimited: (tier) => {
      if (tier === 'standard' || tier === 'service') schedule.limited()
    },
    onIssuers: (authorities) => keeper.certificates.issuersNamed(authorities),
  })
  const keys = new KeyPool()
  const attesting = nodeAttesting(config, { ...world, fileEvents: rereadFiles }, http)
  const keeper = createAgentSvidKeeper({
    clock,
    random,
    files,
    control: client,
    skew: client.skew,
    keys,
    withCommonName: createCommonName(config.icpService.csrCommonName),
    events: nodeEvents(sinks('node'), clock),
    agent: config.agent,
    attestation: attesting,
    joinToken: {
      get token() {
        return config.agent.joinToken
      },
      get path() {
        return config.agent.joinTokenPath
      },
    },
    threshold,
    backoff: {
      get baseMs() {
        return config.icpService.retryBackoffMs
      },
    },
  })

  const store = new SvidStore()
  const entryChanges = new EntryChanges(store, clock)
  const demand = new Demand(clock)
  const ownCommonName = () => {
    const [leaf] = keeper.current()?.chain ?? []
    return leaf ? commonNameOf(leaf) : null
  }
  const commonName = workloadCommonName(config.icpService.csrCommonName, { clock, own: ownCommonName })
  const common = { store, demand, controlPlane: client, clock, random, events }
  const publisher = new Publisher({ ...common, account: tenantId })
  const issuing = {
    ...common,
    keys,
    withCommonName: commonName.run,
    threshold,
    get trustDelayMs() {
      return POLLS_BEFORE_TRUST * Math.max(config.sync.bundleIntervalMs, SHORTEST.bundlePoll)
    },
    get retryBackoffMs() {
      return config.icpService.retryBackoffMs
    },
  }
  const issuance = new Issuance(issuing, publisher)
  const revocations = new Revocations(common)
  const syncing = {
    ...common,
    schedule,
    get revokeRemoved() {
      return config.security.revokeRemoved
    },
  }
  const entrySync = new EntrySync(syncing, { publisher, issuance, revocations })
  const time = new PassingTime(common, publisher)

  const jwtLog = jwtEvents(sinks('jwt'))
  const jwtKeys = new JwtKeys({ store, controlPlane: client, limiter, clock, events: jwtLog })
  const jwtSvids = new JwtSvids({
    store,
    demand,
    cache: new JwtCache(),
    limiter,
    controlPlane: client,
    keys: jwtKeys,
    clock,
    events: jwtLog,
    onVerified: (trustDomain, until) => publisher.learn((known) => known.markServed(trustDomain, until)),
  })

  let known: AgentSvid | null = null
  const onIdentity = () => {
    withhold(store, keeper.certificates.usable ? null : keeper.state())
    const identity = keeper.current()
    const same = identity === known
    known = identity
    if (!identity || same) return
    client.learnGeneration(identity.workspace)
    publisher.named(identity.authorities)
    jwtSvids.wake()
  }
  keeper.subscribe(onIdentity)
  keeper.certificates.onAccepted(() => {
    schedule.soon()
    issuance.serverReturned()
  })
  reachability.onReturn(() => keeper.serverReturned())
  live.subscribe((changed) => {
    if (anyOf(changed, 'sync.')) schedule.reconsider()
    if (anyOf(changed, 'agent.', 'icp_service.', 'attestation.')) keeper.settingsChanged()
  })

  return {
    limiter,
    schedule,
    http,
    client,
    reachability,
    rereadFiles,
    attesting,
    outage: () => requests.outage,
    extraRoots,
    keys,
    jwtKeys,
    jwtSvids,
    keeper,
    store,
    entryChanges,
    demand,
    publisher,
    issuance,
    revocations,
    entrySync,
    time,
    restore: (earlier: EarlierRun) => restoreSnapshot({ store, publisher, issuance, time }, earlier),
    pollBundle: (signal: AbortSignal) => pollBundle({ controlPlane: client, events, publisher }, signal),
    commonName,
    events,
  }
}

/** The reason in callers' errors while the server is reachable but issues nothing to this agent. */
const WITHHELD: Partial<Record<ErrorCode, string>> = {
  'agent.certificate_refused': 'the ICP server answers but does not accept the certificate of the agent',
  'icp.agent_inactive': 'an administrator has made the agent of this node inactive',
}
const LOCKED_OUT = 'the agent of this node is locked out until it gets a join token'

/** `state`: null while the agent has a certificate that the server accepts. */
function withhold(store: SvidStore, state: AgentSvidState | null): void {
  const ofReason = (state?.reason && WITHHELD[state.reason.code]) ?? null
  const withheld = state?.kind === 'locked_out' ? LOCKED_OUT : ofReason
  if ((store.current.withheld ?? null) !== withheld) store.publish({ withheld }, { entries: new Set(), bundles: false })
}
