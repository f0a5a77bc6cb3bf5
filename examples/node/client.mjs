// Asks a server of its own trust domain, over mutual TLS: node client.mjs [PORT]
import https from 'node:https'
import { authorizeMemberOf, X509Source } from 'icp-agent/client'

const source = await X509Source.open({ signal: AbortSignal.timeout(60_000) })
const agent = source.httpsAgent({ authorize: authorizeMemberOf(source.svid.spiffeId.trustDomain) })
https.get(`https://127.0.0.1:${process.argv[2] ?? 8443}/`, { agent }, (res) => {
  res.pipe(process.stdout)
  res.on('end', () => source.close())
})
