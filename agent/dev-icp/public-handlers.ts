import { notFound } from './api-error.js'
import { accountKey, type Handler, ok } from './exchange.js'
import { requireCa } from './issue.js'

/** GET /health. */
export const health: Handler = async () => ok({ status: 'healthy' })

/** GET /bundle/:id: the issuing CA alone, under the account's id or the workloads' trust domain. */
export const bundle: Handler = async (exchange, services) => {
  const id = exchange.params['id'] ?? ''
  if (id !== services.accountId && id !== services.workloadTrustDomain) throw notFound('Workspace not found')
  requireCa(exchange)
  return ok({ ca_bundle: services.authority.bundlePem, [accountKey(services)]: id })
}
