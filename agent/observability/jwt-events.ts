import type { ErrorCode } from '../errors.js'
import type { Sinks } from './events.js'
import type { ShownJwt } from './observer.js'

/** What happens to JWT-SVIDs and their keys. Never a token. */
export const jwtEvents = ({ log, metrics, observers }: Sinks) => {
  let unseen = false
  return {
    issued(entryId: string, svid: ShownJwt, ms: number): void {
      metrics.count('icp_agent_issuances_total', { kind: 'jwt', outcome: 'issued' })
      metrics.observe('icp_agent_issuance_seconds', ms / 1000, { kind: 'jwt' })
      if (unseen) log.info('JWT-SVIDs are issued again')
      unseen = false
      log.debug('JWT-SVID issued', { entry_id: entryId, spiffe_id: svid.spiffeId.uri })
      for (const observer of observers) {
        observer.jwtIssued?.(entryId, svid)
        observer.issuanceEnded?.('jwt', entryId, ms, 'ok')
      }
    },
    failed(entryId: string, code: ErrorCode): void {
      metrics.count('icp_agent_issuances_total', { kind: 'jwt', outcome: code })
      log.debug('JWT-SVID not issued', { entry_id: entryId, code })
      for (const observer of observers) observer.issuanceEnded?.('jwt', entryId, 0, code)
      // A fault of the deployment: no workload gets a JWT-SVID until it is corrected.
      if (code !== 'icp.jwt_unauthorized' || unseen) return
      unseen = true
      log.warn('The ICP server sees no client certificate, and issues no JWT-SVIDs', { code })
    },
    /** `kids`: number of distinct `kid`s among the keys. */
    keysChanged(count: number, kids: number): void {
      log.info('JWT bundle changed', { ...(kids < count && { sharing_a_kid: count - kids }), keys: count })
    },
    keysUnusable(count: number): void {
      log.warn('The JWT bundle of the ICP server has keys that no JWT-SVID can be signed with', { count })
    },
  }
}

export type JwtEvents = ReturnType<typeof jwtEvents>
