import { internal, notFound } from './api-error.js'
import { accountKey, ok, type RouteHandler } from './exchange.js'
import { findFault } from './faults.js'
import { requireCa } from './issue.js'

/** GET /health. */
export const health: RouteHandler = async () => ok({ status: 'healthy' })

/**
 * GET /bundle/:id. As in the real server it always fails, although the CA works. With the fault `bundle-served` it returns
 * the issuing CA, under the account's id or the workloads' trust domain.
 */
export const bundle: RouteHandler = async (exchange, services) => {
  requireCa(exchange)
  if (!findFault(exchange.faults, 'bundle-served')) throw internal('Failed to get CA bundle from Vault')
  const id = exchange.params['id'] ?? ''
  if (id !== services.accountId && id !== services.workloadTrustDomain) throw notFound('Workspace not found')
  return ok({ ca_bundle: services.authority.bundlePem, [accountKey(services)]: id })
}
