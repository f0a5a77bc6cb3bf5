// Greets, over mutual TLS, whoever belongs to its own trust domain: node server.mjs [PORT]
import https from 'node:https'
import { authorizeMemberOf, X509Source } from 'icp-agent/client'

const source = await X509Source.open({ signal: AbortSignal.timeout(60_000) })
const server = source.createServer(
  (tls) => https.createServer(tls, (req, res) => res.end(`hello ${source.peerId(req.socket)}\n`)),
  { authorize: authorizeMemberOf(source.svid.spiffeId.trustDomain) },
)
server.on('tlsClientError', (error) => console.error(error.message))
server.listen(Number(process.argv[2] ?? 8443), '127.0.0.1', () => {
  console.log(`${source.svid.spiffeId} listens on 127.0.0.1:${server.address().port}`)
})
