import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, createServer, type SecureContextOptions, type TLSSocket } from 'node:tls'
import type { WorkloadApiClient } from '../../../../agent/client/workload-api-client.js'
import type { X509Context } from '../../../../agent/client/x509-context.js'
import { pemFromDer } from '../../../../agent/crypto/pem.js'
import { tell } from './tell.js'

const signal = new AbortController().signal
const MAX_MS = 90_000
const PAUSE_MS = 20

/** What TLS needs, of the default identity: its chain, its key, and whom to trust. */
function secure({ svids: [{ svid, bundle }] }: X509Context): SecureContextOptions {
  return {
    cert: svid.chain.map((der) => pemFromDer(der, 'CERTIFICATE')).join(''),
    key: pemFromDer(svid.privateKey.reveal(), 'PRIVATE KEY'),
    ca: bundle.authorities.map(({ der }) => pemFromDer(der, 'CERTIFICATE')),
    minVersion: 'TLSv1.3',
  }
}

/** The SPIFFE ID that a peer proved: TLS has verified its chain. */
function peerOf(socket: TLSSocket): { id: string; serial: string } {
  const { subjectaltname = '', serialNumber } = socket.getPeerCertificate()
  const uris = subjectaltname.split(', ').filter((name) => name.startsWith('URI:'))
  return { id: uris.length === 1 ? (uris[0] ?? '').slice('URI:'.length) : '', serial: serialNumber }
}

/** Hands each context to `use`; resolves after the first. */
async function follow(client: WorkloadApiClient, use: (context: X509Context) => void): Promise<void> {
  const contexts = client.watchX509Svids(signal)
  const first = await contexts.next()
  if (first.done) return
  use(first.value)
  void (async () => {
    for await (const context of contexts) use(context)
  })()
}

/** Tells each client of the right identity who it is; ends the connection of any other. */
export async function serve(client: WorkloadApiClient, allowed: string): Promise<void> {
  const server = createServer({ requestCert: true, rejectUnauthorized: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    const { id } = peerOf(socket)
    if (id !== allowed) socket.destroy()
    else socket.on('data', () => socket.write(`${id}\n`))
  })
  await follow(client, (context) => server.setSecureContext(secure(context)))
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    if (typeof address === 'object') tell({ event: 'listening', address: `127.0.0.1:${address?.port}` })
  })
}

async function answerOn(socket: TLSSocket): Promise<string> {
  if (socket.destroyed) throw new Error('the server has closed the connection')
  const done = new AbortController()
  const closed = once(socket, 'close', done).then(() => Promise.reject(new Error('the server closed the connection')))
  try {
    const [answer] = await Promise.race([once(socket, 'data', done), closed])
    return String(answer).trim()
  } finally {
    done.abort()
  }
}

/** Alternates between new connections and one that is kept, so that both handshakes and streams meet rotations. */
export async function request(
  client: WorkloadApiClient,
  address: string,
  expected: string,
  requests: number,
  rotations: number,
): Promise<void> {
  const own = new Set<string>()
  const theirs = new Set<string>()
  const seenAs = new Set<string>()
  const failures: string[] = []
  let options: SecureContextOptions = {}
  await follow(client, (context) => {
    options = secure(context)
    own.add(context.svids[0].svid.serial)
  })
  const open = async (): Promise<TLSSocket> => {
    const socket = connect({ ...options, port: Number(address.split(':')[1]), checkServerIdentity: () => undefined })
    socket.on('error', () => socket.destroy())
    await once(socket, 'secureConnect')
    const { id, serial } = peerOf(socket)
    if (id !== expected) throw new Error(`the server is ${id}`)
    theirs.add(serial)
    return socket
  }
  let kept: TLSSocket | null = null
  const began = performance.now()
  let count = 0
  for (; performance.now() - began < MAX_MS; count++) {
    if (count >= requests && own.size > rotations && theirs.size > rotations) break
    try {
      const fresh = count % 2 === 1
      kept ??= await open()
      const socket = fresh ? await open() : kept
      socket.write('who am I?')
      seenAs.add(await answerOn(socket))
      if (fresh) socket.destroy()
    } catch (error) {
      failures.push(String(error))
    }
    await sleep(PAUSE_MS)
  }
  kept?.destroy()
  const turns = { ownRotations: own.size - 1, peerRotations: theirs.size - 1 }
  tell({ event: 'done', requests: count, failures, seenAs: [...seenAs], ...turns })
}
