import type { AgentSvidState } from '../agent-svid/state.js'
import type { Tier } from '../errors.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { HealthInput } from '../observability/health.js'
import type { AgentNames } from '../observability/health-answers.js'
import type { Trouble } from '../observability/once.js'
import type { Clock } from '../ports/clock.js'
import type { AuthorityRecord } from '../svids/authority-history.js'
import type { Snapshot } from '../svids/snapshot.js'
import type { ConnectedWorkload } from '../workload-api/connections.js'
import type { Explained, ExplainTarget } from '../workload-api/explainer.js'
import type { ChangeLog } from './changes.js'
import type { DenialLog } from './denials.js'

/** The agent's own SVID, without its key. Times in milliseconds since 1970. */
export interface OwnSvid {
  readonly spiffeId: SpiffeId
  readonly serial: string
  readonly notBefore: number
  readonly notAfter: number
}

/** How it stands with one rate limit of the ICP server. */
export interface LimitFigures {
  /** Requests that may go a minute now. */
  readonly perMinute: number
  /** Milliseconds until the next one may go; 0: now. */
  readonly opensInMs: number
  /** From 0 (no 429 for a long time) to 1. */
  readonly pressure: number
}

/** A value as it may be shown: a secret is `[redacted]`. */
export type ShownSetting = string | number | boolean | readonly string[] | null

/** A setting that has another value. */
export interface ChangedSetting {
  readonly key: string
  readonly from: ShownSetting
  readonly to: ShownSetting
}

/** What is wrong with a configuration, or strange. */
export interface ConfigFinding {
  readonly key: string
  readonly source: string
  readonly problem: string
  readonly remedy: string
}

/** What came of a reload. */
export interface ReloadResult {
  readonly ok: boolean
  readonly changed: readonly ChangedSetting[]
  readonly needsRestart: readonly ChangedSetting[]
  readonly fixedByEnvironment: readonly string[]
  readonly problems: readonly ConfigFinding[]
  readonly warnings: readonly ConfigFinding[]
}

export const LOG_LEVELS = ['debug', 'info', 'warning', 'error'] as const
export type AdminLogLevel = (typeof LOG_LEVELS)[number]

/** How it stands with the audit log. */
export interface AuditFigures {
  /** Null: there is none. */
  readonly path: string | null
  readonly failClosed: boolean
  /** Bytes that are not written yet. */
  readonly waiting: number
  readonly trouble: Trouble | null
}

/** Where traces or metrics are exported to, and why they cannot be now. */
export interface ExportFigures {
  /** Scheme, host and port: a path may hold a token. */
  readonly to: string
  readonly trouble: Trouble | null
}

/** What OpenTelemetry exports; null: it is off. */
export interface TelemetryFigures {
  readonly traces: ExportFigures | null
  readonly metrics: ExportFigures | null
}

/** The level of the log; `until`: when the configured one counts again, in milliseconds since 1970. */
export interface LevelInForce {
  readonly level: AdminLogLevel
  readonly configured: AdminLogLevel
  readonly until: number | null
}

/** What answers are made from: small functions that read. Whoever adds a route adds its sources. */
export interface AdminSources {
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  /** Gives other work a turn of the event loop. */
  readonly turn: () => Promise<void>
  readonly version: string
  readonly names: AgentNames
  readonly health: () => HealthInput
  readonly ownSvid: () => OwnSvid | null
  readonly ownState: () => AgentSvidState
  /** When the agent's own SVID is renewed; null without one. */
  readonly ownRenewAt: () => number | null
  readonly limits: () => Readonly<Record<Tier, LimitFigures>>
  readonly snapshot: () => Snapshot
  /** When the state of an entry changed last. */
  readonly changedAt: (entryId: string) => number | null
  /** How many workloads use an entry now. */
  readonly usesOf: (entryId: string) => number
  readonly authorities: () => readonly AuthorityRecord[]
  /** Fingerprint of the authority that issues now, as far as is known. */
  readonly issuer: () => string | null
  readonly connected: () => readonly ConnectedWorkload[]
  readonly denials: Pick<DenialLog, 'all' | 'last' | 'get' | 'size' | 'evicted'>
  readonly changes: Pick<ChangeLog, 'all'>
  /** The last log lines, each one JSON. */
  readonly recentLog: () => { readonly lines: readonly string[]; readonly dropped: number }
  /** What /metrics of the health port answers. */
  readonly metricsText: () => Promise<string>
  /** What processes would be told now; acts on nothing. */
  readonly explain: (target: ExplainTarget, signal: AbortSignal) => Promise<Explained>
  /** Names the process that has this pid now; null where there is none. */
  readonly processKey: (pid: number) => string | null
  readonly holdMs: number
  /** Reads the configuration again; never rejects. */
  readonly reload: () => Promise<ReloadResult>
  /** What came of the last reload; null before the first. `at`: milliseconds since 1970. */
  readonly lastReload: () => (ReloadResult & { readonly at: number }) | null
  readonly audit: () => AuditFigures
  readonly telemetry: () => TelemetryFigures
  readonly logLevel: {
    readonly report: LevelInForce
    /** `forMs`: null for as long as nothing else is said. */
    set(level: AdminLogLevel, forMs: number | null): LevelInForce
  }
  /** Every setting in force. */
  readonly settings: () => readonly {
    readonly key: string
    readonly value: ShownSetting
    readonly source: string
    readonly reload: 'live' | 'restart'
  }[]
  readonly process: () => { readonly pid: number; readonly rssBytes: number; readonly heapBytes: number }
}
