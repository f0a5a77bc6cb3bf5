import { type AgentError, codeOf, type ErrorCode } from '../errors.js'
import { iso } from '../lib/time.js'
import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import type { ShownX509 } from './observer.js'
import { sayOnce } from './once.js'

interface NamedEntry {
  readonly id: string
  readonly spiffeId: { readonly uri: string }
}

const short = (fingerprint: string) => fingerprint.slice(0, 16)
const AHEAD_WORTH_SAYING_MS = 5_000
/** Limit of left-out certificates for which a logged warning is remembered. */
const MOST_ODD = 100

/** What happens between the agent and the server once the node is attested. */
export const syncEvents = ({ log, metrics, observers }: Sinks, clock: Clock) => {
  const syncing = sayOnce(log, clock, { failing: 'Entry sync failed', recovered: 'Entry sync works again' })
  const bundles = sayOnce(log, clock, { failing: 'Bundle poll failed', recovered: 'Bundle poll works again' })
  const jwtKeys = sayOnce(log, clock, { failing: 'JWT bundle poll failed', recovered: 'JWT bundle poll works again' })
  const issuance = () =>
    sayOnce(log, clock, { failing: 'Workload SVID not issued', recovered: 'Workload SVID issued again' })
  const issuing = new Map<string, ReturnType<typeof issuance>>()
  const about = (entry: NamedEntry) => ({ entry_id: entry.id, spiffe_id: entry.spiffeId.uri })
  const odd = new Set<string>()
  let authorityAhead = false
  let unlisted = false
  let bare = false
  let forgotten = false
  /** A new certificate is valid from now or a little earlier; a start in the future shows that the CA's clock is ahead. */
  const noticeAuthorityClock = (notBefore: number) => {
    const aheadMs = notBefore - clock.now()
    const ahead = aheadMs > AHEAD_WORTH_SAYING_MS
    const fields = { ahead_seconds: Math.round(aheadMs / 1000) }
    if (ahead && !authorityAhead) log.warn('The clock of the certificate authority is ahead of this machine', fields)
    authorityAhead = ahead
  }
  return {
    entriesSynced(counts: { total: number; added: number; changed: number; removed: number }): void {
      syncing.succeeded()
      if (unlisted) log.info('Entry sync returns known entries again')
      unlisted = false
      if (counts.added + counts.changed + counts.removed > 0) log.info('Registration entries changed', counts)
    },
    syncFailed(error: unknown): void {
      syncing.failed(error)
    },
    /** The answer would withdraw all entries; it is read once more before it counts. */
    withdrawalDoubted(count: number): void {
      log.warn('Entry sync returned none of the known entries; asking again before withdrawing them', { count })
    },
    /** The server issues for an entry that it does not list, or does not answer. */
    withdrawalRefuted(count: number): void {
      const level = unlisted ? 'debug' : 'error'
      unlisted = true
      log.at(level, 'Entry sync returned none of the known entries, unconfirmed; keeping them', {
        count,
      })
    },
    entryRejected(entry: { id: string; reason: string }): void {
      log.warn('Registration entry cannot be used', { entry_id: entry.id, reason: entry.reason })
    },
    /** The ICP server issues the second instead of the first. */
    entryShadowed(loser: NamedEntry, winner: NamedEntry): void {
      log.warn('Registration entry is not issued: the ICP server issues another one for its selectors', {
        ...about(loser),
        winner_entry_id: winner.id,
        winner_spiffe_id: winner.spiffeId.uri,
      })
    },
    /** The server no longer lists it. */
    entryGone(entryId: string): void {
      issuing.delete(entryId)
      for (const observer of observers) observer.entryWithdrawn?.(entryId)
    },
    svidIssued(
      entry: NamedEntry,
      svid: ShownX509 & { readonly notBefore: number; readonly hasBasicConstraints: boolean },
      details: { renewal: boolean; ms: number },
    ): void {
      issuing.get(entry.id)?.succeeded(about(entry))
      issuing.delete(entry.id)
      noticeAuthorityClock(svid.notBefore)
      metrics.count('icp_agent_issuances_total', { kind: 'x509', outcome: 'issued' })
      metrics.observe('icp_agent_issuance_seconds', details.ms / 1000, { kind: 'x509' })
      log.info(details.renewal ? 'Workload SVID renewal successful' : 'Workload SVID issued', {
        ...about(entry),
        serial: svid.serial,
        expires_at: iso(svid.notAfter),
      })
      for (const observer of observers) {
        observer.x509Issued?.(entry.id, svid)
        observer.issuanceEnded?.('x509', entry.id, details.ms, 'ok')
      }
      if (bare || svid.hasBasicConstraints) return
      bare = true
      log.info('Workload SVIDs come without the BasicConstraints extension, which some clients demand', {
        clients: 'py-spiffe, the Rust crate spiffe',
        remedy: "set basic_constraints_valid_for_non_ca=true on the role 'workload' of the ICP server's PKI",
      })
    },
    /** The SVID waits until other nodes know its issuer. */
    svidHeldBack(entry: NamedEntry, from: number): void {
      log.info('Workload SVID of a new authority is held back until other nodes know it', {
        ...about(entry),
        served_from: iso(from),
      })
    },
    issuanceFailed(entry: NamedEntry, error: AgentError, retryAfterMs: number): void {
      metrics.count('icp_agent_issuances_total', { kind: 'x509', outcome: error.code })
      for (const observer of observers) observer.issuanceEnded?.('x509', entry.id, 0, error.code)
      const spell = issuing.get(entry.id) ?? issuance()
      issuing.set(entry.id, spell)
      spell.failed(error, { ...about(entry), retry_after_seconds: Math.round(retryAfterMs / 1000) })
    },
    svidExpired(entry: NamedEntry): void {
      log.error('Workload SVID expired before it could be renewed', about(entry))
    },
    waitedForSlot(ms: number): void {
      metrics.count('icp_agent_rate_limit_wait_seconds_total', ms / 1000)
    },
    bundlePolled(): void {
      bundles.succeeded()
    },
    bundlePollFailed(error: unknown): void {
      // Most servers publish none, and it is one of several sources.
      if (codeOf(error) === 'icp.no_bundle') log.debug('The ICP server publishes no bundle', { error })
      else bundles.failed(error)
    },
    /** Certificates in the server's bundles that cannot verify SVIDs. Logged once for each. */
    authoritiesSkipped(skipped: readonly { readonly fingerprint: string; readonly error: AgentError }[]): void {
      for (const { fingerprint, error } of skipped) {
        if (odd.has(fingerprint)) continue
        if (odd.size >= MOST_ODD) odd.clear()
        odd.add(fingerprint)
        log.warn('A certificate in the trust bundle of the ICP server is left out', { fingerprint, error })
      }
    },
    jwtKeysPolled(): void {
      jwtKeys.succeeded()
    },
    jwtKeysPollFailed(error: unknown): void {
      jwtKeys.failed(error)
    },
    bundlesChanged(
      authorities: readonly { readonly fingerprint: string; readonly notAfter: number }[],
      domains: number,
    ): void {
      log.info('Trust bundle changed', {
        trust_domains: domains,
        authorities: authorities.map(({ fingerprint, notAfter }) => ({
          fingerprint: short(fingerprint),
          expires_at: iso(notAfter),
        })),
      })
    },
    revoked(serial: string): void {
      metrics.count('icp_agent_revocations_total', { outcome: 'revoked' })
      log.info('Workload SVID of a removed entry is revoked', { serial })
      for (const observer of observers) observer.x509Revoked?.(serial)
    },
    /** `givenUp`: the agent does not retry. */
    revocationFailed(serial: string, code: ErrorCode, { givenUp }: { givenUp: boolean }): void {
      if (givenUp) metrics.count('icp_agent_revocations_total', { outcome: code })
      if (code !== 'icp.svid_unknown') {
        log.warn('Workload SVID of a removed entry could not be revoked', { serial, code })
        return
      }
      // It happens with every removed entry: one warning, then info lines with the serials that stay valid.
      const remedy = 'revoke the SVID on the ICP server first, then delete its entry'
      log.at(
        forgotten ? 'info' : 'warn',
        'Workload SVID of a removed entry cannot be revoked: the ICP server deleted its record with the entry',
        {
          serial,
          ...(forgotten ? {} : { remedy }),
        },
      )
      forgotten = true
    },
  }
}

export type SyncEvents = ReturnType<typeof syncEvents>
