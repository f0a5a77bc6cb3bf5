import * as z from 'zod'
import type { Authority } from '../../identity/trust-bundle.js'
import { iso } from '../../lib/time.js'
import { pageOfRows } from '../page.js'
import type { AdminRoute } from '../route.js'
import { isoOrNull, pageOf, time, timeOrNull } from '../shapes.js'
import type { AdminSources } from '../sources.js'

const bundle = z.object({
  trust_domain: z.string(),
  x509_authorities: z.array(
    z.object({
      fingerprint: z.string().describe('SHA-256 of the certificate'),
      issued_at: time,
      expires_at: time,
      state: z.enum(['active', 'old']).describe('active: the server issues with it now, as far as is known'),
      first_seen_at: timeOrNull,
      last_active_at: timeOrNull.describe('when the server last named it, or issued something from it'),
    }),
  ),
  jwt_authorities: z.array(z.object({ key_id: z.string(), algorithm: z.string().nullable() })),
})
export type BundleRow = z.infer<typeof bundle>

const schema = pageOf(bundle)
export type BundlesAnswer = z.infer<typeof schema>

/** The bundles that workloads receive. */
export const bundles = {
  method: 'GET',
  path: '/v1/bundles',
  name: 'bundles',
  summary: 'The bundles that are served, by trust domain.',
  schema,
  answer: (sources, { query }) => {
    const { bundles: served } = sources.snapshot()
    const rows = [...served.values()]
      .sort((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1))
      .map(({ trustDomain, authorities }) => ({
        key: trustDomain,
        make: () => bundleRow(trustDomain, authorities, sources),
      }))
    return pageOfRows(rows, query, sources)
  },
} as const satisfies AdminRoute

/** Pure: the authority history is a parameter. */
export function bundleRow(
  trustDomain: string,
  authorities: readonly Authority[],
  { authorities: records, issuer, snapshot }: Pick<AdminSources, 'authorities' | 'issuer' | 'snapshot'>,
): BundleRow {
  const known = new Map(records().map((record) => [record.authority.fingerprint, record]))
  const active = issuer()
  return {
    trust_domain: trustDomain,
    x509_authorities: authorities.map(({ fingerprint, notBefore, notAfter }) => {
      const record = known.get(fingerprint)
      return {
        fingerprint,
        issued_at: iso(notBefore),
        expires_at: iso(notAfter),
        state: fingerprint === active ? ('active' as const) : ('old' as const),
        first_seen_at: isoOrNull(record?.firstSeen ?? null),
        last_active_at: isoOrNull(record?.lastActive ?? null),
      }
    }),
    jwt_authorities: snapshot().jwtKeys.map(({ jwk }) => ({ key_id: jwk.kid ?? '', algorithm: jwk.alg ?? null })),
  }
}
