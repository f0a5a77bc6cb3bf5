import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { authorizeOneOf, type X509Source } from '../../../../agent/client/index.js'
import { tell } from './tell.js'

const MAX_MS = 90_000
const PAUSE_MS = 20

/** Tells each client of the right identity who it is; any other is not served. */
export function serve(source: X509Source, allowed: string): void {
  const server = source.createServer(
    (options) =>
      createServer(options, (socket) => {
        socket.on('error', () => socket.destroy())
        socket.on('data', () => socket.write(`${source.peerId(socket).uri}\n`))
      }),
    { authorize: authorizeOneOf(allowed) },
  )
  server.listen(0, '127.0.0.1', () => {
    tell({ event: 'listening', address: `127.0.0.1:${(server.address() as AddressInfo).port}` })
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
  source: X509Source,
  address: string,
  expected: string,
  requests: number,
  rotations: number,
): Promise<void> {
  const own = new Set([source.svid.serial])
  source.onChange(() => void own.add(source.svid.serial))
  const theirs = new Set<string>()
  const seenAs = new Set<string>()
  const failures: string[] = []
  const open = async (): Promise<TLSSocket> => {
    const options = source.clientOptions({ authorize: authorizeOneOf(expected), tls: { minVersion: 'TLSv1.3' } })
    const socket = connect({ ...options, port: Number(address.split(':')[1]) })
    socket.on('error', () => socket.destroy())
    await once(socket, 'secureConnect')
    theirs.add(socket.getPeerCertificate().serialNumber)
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
