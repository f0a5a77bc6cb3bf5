import { ApiError, badRequest, unavailable } from './api-error.js'
import type { IssuedByAuthority } from './authority.js'
import type { DevExchange, Services } from './exchange.js'
import { findFault } from './faults.js'
import type { ReadCsr } from './read-csr.js'
import type { RoleName } from './roles.js'

export interface Wanted {
  readonly role: RoleName
  readonly csr: ReadCsr
  readonly spiffeId: string
  readonly fallbackName: string
  readonly ttlSeconds: number
}

/** Issues by the CA, with the faults of the request. 503 while the CA is unavailable, 500 if it refuses. */
export async function issue(wanted: Wanted, exchange: DevExchange, services: Services): Promise<IssuedByAuthority> {
  try {
    return await sign(wanted, exchange, services)
  } catch (error) {
    const wrapped = findFault(exchange.faults, 'ca-errors-wrapped')
    if (!wrapped || !(error instanceof ApiError)) throw error
    const why = wrapped.reason ? `failed to issue certificate: ${error.reason ?? error.message}` : error.message
    throw badRequest(`Attestation failed: ${why}`)
  }
}

async function sign(wanted: Wanted, exchange: DevExchange, services: Services): Promise<IssuedByAuthority> {
  requireCa(exchange)
  return await services.authority.issue({
    ...wanted,
    now: exchange.now,
    flaw: findFault(exchange.faults, 'certificate')?.flaw ?? null,
    serverKey: findFault(exchange.faults, 'server-key')?.format ?? null,
  })
}

export function requireCa(exchange: DevExchange): void {
  if (findFault(exchange.faults, 'ca-away')) throw unavailable('Vault PKI is not configured')
}

/** Only the oldest servers send a key; the field is absent otherwise. */
export function keyField(issued: IssuedByAuthority): { private_key?: string } {
  return issued.privateKeyPem === null ? {} : { private_key: issued.privateKeyPem }
}
