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

/** The state of the rate limiter for one tier. */
export interface LimitFigures {
  /** Requests a minute at the present pace. */
  readonly perMinute: number
  /** Milliseconds until the next request may be sent; 0: now. */
  readonly opensInMs: number
  /** From 0 (no 429 for a long time) to 1. */
  readonly pressure: number
}

/** A value in a form that may be shown: a secret is `[redacted]`. */
export type ShownSetting = string | number | boolean | readonly string[] | null

/** A setting whose value changed. */
export interface ChangedSetting {
  readonly key: string
  readonly from: ShownSetting
  readonly to: ShownSetting
}

/** A problem of a configuration, or a warning about it. */
export interface ConfigFinding {
  readonly key: string
  readonly source: string
  readonly problem: string
  readonly remedy: string
}

/** The result of a reload. */
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

/** The state of the audit log. */
export interface AuditFigures {
  /** Null: there is none. */
  readonly path: string | null
  readonly failClosed: boolean
  /** Bytes that are not written yet. */
  readonly waiting: number
  readonly trouble: Trouble | null
}

/** The receiver of traces or metrics, and why they cannot be exported now. */
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

/** The level of the log; `until`: when the configured one is restored, in milliseconds since 1970. */
export interface LevelInForce {
  readonly level: AdminLogLevel
  readonly configured: AdminLogLevel
  readonly until: number | null
}

/** The sources of the answers: small functions that only read, unless they say otherwise. */
export interface AdminSources {
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  /** Yields to the event loop. */
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
  /** When the state of an entry last changed. */
  readonly changedAt: (entryId: string) => number | null
  /** How many workloads use an entry now. */
  readonly usesOf: (entryId: string) => number
  readonly authorities: () => readonly AuthorityRecord[]
  /** Fingerprint of the authority that the server issues with now, as far as is known. */
  readonly issuer: () => string | null
  readonly connected: () => readonly ConnectedWorkload[]
  readonly denials: Pick<DenialLog, 'all' | 'last' | 'get' | 'size' | 'evicted'>
  readonly changes: Pick<ChangeLog, 'all'>
  /** The last log lines, each one JSON. */
  readonly recentLog: () => { readonly lines: readonly string[]; readonly dropped: number }
  /** The text that `/metrics` of the health port answers. */
  readonly metricsText: () => Promise<string>
  /** Explains what processes would get now; changes nothing. */
  readonly explain: (target: ExplainTarget, signal: AbortSignal) => Promise<Explained>
  /** Identifies the process that has this pid now; null if there is none. */
  readonly processKey: (pid: number) => string | null
  readonly holdMs: number
  /** Reloads the configuration; never rejects. */
  readonly reload: () => Promise<ReloadResult>
  /** The result of the last reload; null before the first. `at`: milliseconds since 1970. */
  readonly lastReload: () => (ReloadResult & { readonly at: number }) | null
  readonly audit: () => AuditFigures
  readonly telemetry: () => TelemetryFigures
  readonly logLevel: {
    readonly report: LevelInForce
    /** `forMs`: null until another level is set or a reload. */
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
