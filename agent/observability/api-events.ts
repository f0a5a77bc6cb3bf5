import { createHash } from 'node:crypto'
import type { ErrorCode } from '../errors.js'
import type { Selectors } from '../identity/selector.js'
import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import type { CallerIds, Served, ServedX509, ShownJwt } from './observer.js'
import { Sparingly } from './sparingly.js'

/** Methods of the Workload API, of both dialects, and of the Secret Discovery Service. */
export const METHODS = [
  'FetchX509SVID',
  'FetchX509Bundles',
  'FetchJWTSVID',
  'FetchJWTBundles',
  'ValidateJWTSVID',
  'FetchWITSVID',
  'FetchWITBundles',
  'StreamSecrets',
  'DeltaSecrets',
  'FetchSecrets',
] as const
export type Method = (typeof METHODS)[number]

export interface Denial {
  readonly id: string
  /** False if the same denial was logged before. */
  readonly first: boolean
  readonly caller: CallerIds
  /** Identifies the process, also when its pid is reused. */
  readonly process: string
  readonly selectors: Selectors
  readonly unavailable: readonly string[]
  readonly notes: readonly { readonly attestor: string; readonly text: string }[]
  /** Searches all entries for those that the caller nearly matches; null unless a caller is first told that none matches. */
  readonly nearest: (() => readonly NearEntry[]) | null
}

/** An entry, and the selectors that it requires and the caller lacks. */
export interface NearEntry {
  readonly id: string
  readonly spiffeId: string
  /** `found`: the caller's value for this key; null: it has none. */
  readonly lacks: readonly { readonly key: string; readonly wanted: string; readonly found: string | null }[]
}

/** Limit of entries for which a logged warning is remembered. */
const MAX_TOLD = 1024

/** What happens on the Workload API. */
export const apiEvents = ({ log, metrics, observers }: Sinks, clock: Pick<Clock, 'monotonic'>) => {
  const sparingly = new Sparingly(clock)
  const told = new Set<string>()
  const open = new Map<Method, number>(METHODS.map((method) => [method, 0]))
  metrics.gauge('icp_agent_streams', () => [...open].map(([method, value]) => ({ value, labels: { method } })))
  return {
    serverStarted(socketPath: string): void {
      log.info('gRPC Workload API Server started', { socket_path: socketPath })
    },
    streamOpened(method: Method): void {
      open.set(method, (open.get(method) ?? 0) + 1)
    },
    /** `status`: a gRPC status name. */
    streamClosed(method: Method, status: string): void {
      open.set(method, (open.get(method) ?? 1) - 1)
      metrics.count('icp_agent_calls_total', { method, status })
    },
    /** `service`: one that the agent serves, never a name that a caller made up. */
    callBegun(service: string): void {
      metrics.count('icp_agent_calls_begun_total', { service })
    },
    unaryEnded(method: Method, status: string): void {
      metrics.count('icp_agent_calls_total', { method, status })
    },
    /** `firstAfterMs`: time from the call to its first message; null for later ones. */
    pushed(method: Method, firstAfterMs: number | null, to?: CallerIds): void {
      if (to) for (const observer of observers) observer.pushed?.(to, method, firstAfterMs ?? 0)
      metrics.count('icp_agent_pushes_total', { method })
      if (firstAfterMs !== null) metrics.observe('icp_agent_first_message_seconds', firstAfterMs / 1000, { method })
    },
    /** `code`: the reason if nothing is sent. */
    decided(to: CallerIds, method: Method, decision: string, code: ErrorCode | null): void {
      for (const observer of observers) observer.decided?.(to, method, decision, code)
    },
    /** Before the message is sent. */
    servesX509(to: Served, svids: readonly ServedX509[]): void {
      for (const observer of observers) observer.x509Served?.(to, svids)
    },
    /** Before the answer is sent. */
    servesJwt(to: Served, svids: readonly ShownJwt[]): void {
      for (const observer of observers) observer.jwtServed?.(to, svids)
    },
    /** The process of a workload has ended. */
    workloadEnded(key: string): void {
      for (const observer of observers) observer.workloadEnded?.(key)
    },
    /** Temporary: the caller may retry. */
    refused(method: Method, refusal: { code: ErrorCode; message: string }, caller: CallerIds): void {
      metrics.count('icp_agent_denials_total', { reason: refusal.code })
      log.debug('Workload API call not answered yet', {
        method,
        code: refusal.code,
        reason: refusal.message,
        pid: caller.pid,
        uid: caller.uid,
      })
    },
    /**
     * Logged with the selectors, once for each denial. Of denials of one user with the same selectors and code, three a
     * minute are warnings and the rest debug lines, because a loop of processes would fill the log.
     */
    denied(method: Method, refusal: { code: ErrorCode; message: string }, denial: Denial): void {
      metrics.count('icp_agent_denials_total', { reason: refusal.code })
      if (observers.length > 0) {
        const { id, first, process, unavailable, notes, nearest } = denial
        const { code, message } = refusal
        const denied = { id, method, code, message, first, process, unavailable, notes, nearest }
        for (const observer of observers) observer.denied?.(denial.caller, denial.selectors, denied)
      }
      const suppressed = denial.first ? sparingly.say(lookOf(refusal.code, denial)) : null
      log.at(suppressed === null ? 'debug' : 'warn', 'Workload API call denied', {
        denial_id: denial.id,
        method,
        code: refusal.code,
        reason: refusal.message,
        pid: denial.caller.pid,
        uid: denial.caller.uid,
        gid: denial.caller.gid,
        selectors: Object.fromEntries(denial.selectors),
        unavailable: denial.unavailable,
        notes: denial.notes.map((line) => `${line.attestor}: ${line.text}`),
        ...(suppressed ? { suppressed } : {}),
      })
      const { nearest } = denial
      if (!nearest) return
      log.debug('Entries that the denied process came nearest to', {
        denial_id: denial.id,
        // A getter: the search runs only if the line is written.
        get nearest() {
          return nearest().map(({ id, spiffeId, lacks }) => ({ entry_id: id, spiffe_id: spiffeId, lacks }))
        },
      })
    },
    /** More entries match than the limit for a workload. */
    truncated({ pid, uid }: CallerIds, limit: number): void {
      const suppressed = sparingly.say(`${uid} truncated`)
      log.at(
        suppressed === null ? 'debug' : 'warn',
        'Workload matches more entries than it may hold; the youngest are left out',
        { pid, uid, limit, ...(suppressed ? { suppressed } : {}) },
      )
    },
    /** An entry requires `docker:label` that only the image has; such labels no longer count. Once for each entry. */
    labelOfImage(entry: { readonly id: string; readonly spiffeId: string }): void {
      if (told.has(entry.id) || told.size >= MAX_TOLD) return
      told.add(entry.id)
      log.warn('Entry no longer matches by a label that the image was built with', {
        entry: entry.id,
        spiffe_id: entry.spiffeId,
        remedy: 'use docker:image-label:* in the entry, or set attestation.docker.image_labels to merged',
      })
    },
    stopping(streams: number): void {
      log.info('Workload API is stopping', { streams })
    },
    handlerFailed(method: Method, error: unknown): void {
      log.error('Workload API handler failed', { method, error })
    },
  }
}

export type ApiEvents = ReturnType<typeof apiEvents>

/** Equal for denials of one user with the same code and selectors. */
function lookOf(code: ErrorCode, { caller, selectors }: Denial): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([...selectors]))
    .digest('base64')
  return `${caller.uid} ${code} ${digest}`
}
