// A workload that holds its identity through agent/client and tells on stdout, one JSON object a line, what it sees.
//   node main.mjs DIALECT workload              watches everything; answers commands from stdin
//   node main.mjs DIALECT watch                 watches its X.509-SVIDs, and nothing else
//   node main.mjs DIALECT server CLIENT_ID      answers over mTLS whoever shows CLIENT_ID
//   node main.mjs DIALECT client ADDR SERVER_ID N R   N requests or more, until both sides rotated R times
import type { DialectName } from '../../../../agent/client/dialect-name.js'
import { type ClientOptions, WorkloadApiClient, X509Source } from '../../../../agent/client/index.js'
import { request, serve } from './mtls.js'
import { tell, textOf } from './tell.js'
import { watchX509, workload } from './workload.js'

const [dialect = 'spiffe', mode = '', ...rest] = process.argv.slice(2)
const [first = '', second = '', requests = '', rotations = ''] = rest
const options: ClientOptions = {
  dialect: dialect as DialectName,
  onRetry: ({ error }) => tell({ event: 'retry', error: textOf(error) }),
}

if (mode === 'workload') await workload(WorkloadApiClient.connect(options))
else if (mode === 'watch') await watchX509(WorkloadApiClient.connect(options))
else if (mode === 'server') serve(await X509Source.open(options), first)
else if (mode === 'client') {
  const source = await X509Source.open(options)
  await request(source, first, second, Number(requests), Number(rotations))
  source.close()
}
