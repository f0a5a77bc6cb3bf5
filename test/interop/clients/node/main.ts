// A workload that holds its identity through agent/client and tells on stdout, one JSON object a line, what it sees.
//   node main.mjs DIALECT workload              watches everything; answers commands from stdin
//   node main.mjs DIALECT watch                 watches its X.509-SVIDs, and nothing else
//   node main.mjs DIALECT server CLIENT_ID      answers over mTLS whoever shows CLIENT_ID
//   node main.mjs DIALECT client ADDR SERVER_ID N R   N requests or more, until both sides rotated R times
import { findEndpoint } from '../../../../agent/client/address.js'
import type { DialectName } from '../../../../agent/client/dialect.js'
import { WorkloadApiClient } from '../../../../agent/client/workload-api-client.js'
import { SystemClock } from '../../../../agent/platform/system-clock.js'
import { request, serve } from './mtls.js'
import { tell, textOf } from './tell.js'
import { watchX509, workload } from './workload.js'

const [dialect = 'spiffe', mode = '', ...rest] = process.argv.slice(2)
const [first = '', second = '', requests = '', rotations = ''] = rest
const address = findEndpoint(undefined, process.env)
if (address === null) throw new Error('SPIFFE_ENDPOINT_SOCKET is not set')
const client = WorkloadApiClient.connect({
  address,
  dialect: dialect as DialectName,
  clock: new SystemClock(),
  onRetry: ({ error }) => tell({ event: 'retry', error: textOf(error) }),
})

if (mode === 'workload') await workload(client)
else if (mode === 'watch') await watchX509(client)
else if (mode === 'server') await serve(client, first)
else if (mode === 'client') await request(client, first, second, Number(requests), Number(rotations))
