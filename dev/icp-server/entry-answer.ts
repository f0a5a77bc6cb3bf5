import { accountKey, type Services } from './exchange.js'
import type { EntryRecord } from './state.js'

/** An entry in the form of the server's answers. */
export function entryAnswer(entry: EntryRecord, services: Services): Record<string, unknown> {
  return {
    id: entry.id,
    [accountKey(services)]: services.accountId,
    spiffe_id: entry.spiffeId,
    parent_id: entry.parentId,
    selectors: entry.selectors,
    ttl: entry.ttl,
    admin: entry.admin,
    downstream: entry.downstream,
    created_at: new Date(entry.createdAt).toISOString(),
    updated_at: new Date(entry.updatedAt).toISOString(),
  }
}
