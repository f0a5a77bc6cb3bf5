// Tells which identities this process has, now and after each change.
import { WorkloadApiClient } from 'icp-agent/client'

const client = WorkloadApiClient.connect({ onRetry: ({ error }) => console.error(error.message) })
for await (const { svids } of client.watchX509Svids()) {
  for (const { svid } of svids) console.log(`${svid.spiffeId} until ${new Date(svid.notAfter).toISOString()}`)
}
