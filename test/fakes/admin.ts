import { ChangeLog } from '../../agent/admin/changes.js'
import { DenialLog } from '../../agent/admin/denials.js'
import type { AdminSources } from '../../agent/admin/sources.js'
import type { HealthInput } from '../../agent/observability/health.js'
import { FakeClock } from './clock.js'
import { snapshotOf, svidOf } from './identities.js'

const MINUTE = 60_000

/** An agent that is well, as the input of health has it. */
export function healthy(now: number, change: Partial<HealthInput> = {}): HealthInput {
  return {
    now,
    startedAt: now - 60 * MINUTE,
    uptimeMs: 60 * MINUTE,
    stopping: false,
    agentSvid: { spiffeId: 'spiffe://tenant/agent/node', expiresAt: now + 60 * MINUTE, trouble: null },
    icpService: { address: 'https://icp.test', reachedAt: now - 1_000, trouble: null, skewMs: 300 },
    workloadApi: { socketPath: '/run/a.sock', listening: true, lostSince: null, connections: 3, streams: 2 },
    pods: { callersHidden: null, awaited: false },
    cache: { restored: true, trouble: null },
    sync: { intervalMs: 30_000, lastSuccessAt: now - 10_000 },
    entries: { byState: { issued: 1, idle: 2 }, neverIssued: [] },
    validSvids: 1,
    node: null,
    attestors: [{ name: 'docker', active: false, reason: 'there is no engine' }],
    brokenFiles: [],
    ...change,
  }
}

export type FakeAdminSources = AdminSources & { readonly clock: FakeClock; readonly turns: () => number } & {
  readonly denials: DenialLog
  readonly changes: ChangeLog
}

const info = { level: 'info', configured: 'info', until: null } as const
const fixedLevel: AdminSources['logLevel'] = { report: info, set: () => info }

/** What answers are made from, of an agent that is well; counts the turns of the event loop that others get. */
export function adminSourcesWith(given: Partial<AdminSources> = {}): FakeAdminSources {
  const clock = new FakeClock()
  let turns = 0
  const limit = { perMinute: 30, opensInMs: 0, pressure: 0 }
  const own = svidOf('agent', { notBefore: clock.now(), notAfter: clock.now() + 60 * MINUTE })
  return {
    turn: async () => void turns++,
    version: '1.2.3',
    names: { tenantId: 'tenant', nodeId: 'node' },
    health: () => healthy(clock.now()),
    ownSvid: () => own,
    ownState: () => ({ kind: 'valid', since: clock.now() }),
    ownRenewAt: () => clock.now() + 30 * MINUTE,
    limits: () => ({ bootstrap: limit, standard: limit, sensitive: limit, service: limit }),
    snapshot: () => snapshotOf([]),
    changedAt: () => null,
    usesOf: () => 0,
    authorities: () => [],
    issuer: () => null,
    connected: () => [],
    recentLog: () => ({ lines: [], dropped: 0 }),
    metricsText: async () => '',
    explain: async () => ({ how: 'nobody', processes: [], others: [] }),
    processKey: () => null,
    holdMs: 4_000,
    reload: async () => ({
      ok: true,
      changed: [],
      needsRestart: [],
      fixedByEnvironment: [],
      problems: [],
      warnings: [],
    }),
    lastReload: () => null,
    audit: () => ({ path: null, failClosed: false, waiting: 0, trouble: null }),
    telemetry: () => ({ traces: null, metrics: null }),
    logLevel: fixedLevel,
    settings: () => [],
    process: () => ({ pid: 42, rssBytes: 104_857_600, heapBytes: 1 }),
    ...given,
    clock,
    turns: () => turns,
    denials: new DenialLog(clock),
    changes: new ChangeLog(clock),
  }
}
