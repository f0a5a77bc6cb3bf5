// What a service does with icp-agent/client, each thing once; tells as JSON what came of it, and ends by itself.
import { once } from 'node:events'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import {
  AgentError,
  type Authorize,
  authorizeAny,
  authorizeOneOf,
  type Retry,
  type SpiffeId,
  WorkloadApiClient,
  type X509Context,
  X509Source,
} from 'icp-agent/client'

const retries: Retry[] = []
const client = WorkloadApiClient.connect({ onRetry: (retry) => void retries.push(retry) })
const context: X509Context = await client.fetchX509Svid(AbortSignal.timeout(60_000))
const id: SpiffeId = context.svids[0].svid.spiffeId
let watched: string | undefined
for await (const { svids } of client.watchX509Svids()) {
  watched = svids[0].svid.spiffeId.uri
  break
}
const [jwt] = await client.fetchJwtSvids({ audience: ['shop'] })
const validated = jwt && (await client.validateJwtSvid(jwt.token, 'shop'))
const forOthers =
  jwt && (await client.validateJwtSvid(jwt.token.reveal(), 'other').catch((error: unknown) => codeOf(error)))
client.close()

const source = await X509Source.open({ signal: AbortSignal.timeout(60_000) })
const itself: Authorize = (peer) => peer.equals(id)
const server = source.createServer(
  (tls) => https.createServer(tls, (req, res) => void res.end(`hello ${source.peerId(req.socket)}`)),
  { authorize: itself, tls: { minVersion: 'TLSv1.3' } },
)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo

function ask(authorize: Authorize): Promise<string> {
  const agent = source.httpsAgent({ authorize })
  return new Promise<string>((resolve, reject) => {
    https
      .get({ host: '127.0.0.1', port, agent }, (res) => {
        res.setEncoding('utf8').once('data', resolve)
        res.once('end', () => agent.destroy())
      })
      .once('error', reject)
  })
}
const hello = await ask(authorizeAny())
const refused = await ask(authorizeOneOf('spiffe://elsewhere.example/x')).catch((error: unknown) => codeOf(error))
server.close()
source.close()

function codeOf(error: unknown): string {
  return error instanceof AgentError ? error.code : String(error)
}
process.stdout.write(
  JSON.stringify({ id, watched, jwt: validated?.spiffeId, forOthers, hello, refused, retries: retries.length }),
)
