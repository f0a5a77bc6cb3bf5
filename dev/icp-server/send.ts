import type { ServerResponse } from 'node:http'
import type { Clock } from '../../agent/ports/clock.js'
import type { Outcome } from './dispatch.js'
import { findFault } from './faults.js'

const CHUNK = 64 * 1024

/** Sends the reply, with faults of the transmission. Resolves when it is sent or the client is gone. */
export async function send(
  response: ServerResponse,
  outcome: Outcome,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const { reply, faults, now } = outcome
  if (!reply) {
    response.socket?.destroy()
    return
  }
  const contentType = reply.raw?.contentType ?? 'application/json'
  const body = Buffer.from(reply.raw?.text ?? JSON.stringify(reply.body))
  response.sendDate = false
  const headers = {
    ...reply.headers,
    date: new Date(now).toUTCString(),
    'content-type': `${contentType}; charset=utf-8`,
  }
  const huge = findFault(faults, 'huge-body')
  if (huge) {
    response.writeHead(reply.status, headers)
    await sendPadding(response, huge.bytes)
    return
  }
  const truncate = findFault(faults, 'truncate')
  const sent = truncate ? body.subarray(0, truncate.bytes ?? Math.floor(body.length / 2)) : body
  response.writeHead(reply.status, { ...headers, 'content-length': sent.length })
  const slow = findFault(faults, 'slow-body')
  if (slow) await trickle(response, sent, () => clock.sleep(slow.interval_ms, signal))
  else response.end(sent)
}

/** Valid but far too long JSON. */
async function sendPadding(response: ServerResponse, bytes: number): Promise<void> {
  response.write('{"padding":"')
  const chunk = Buffer.alloc(CHUNK, 'x')
  for (let left = bytes; left > 0 && !response.destroyed; left -= CHUNK) {
    if (!response.write(chunk.subarray(0, Math.min(CHUNK, left)))) await drained(response)
  }
  response.end('"}')
}

async function trickle(response: ServerResponse, body: Buffer, wait: () => Promise<void>): Promise<void> {
  for (let i = 0; i < body.length && !response.destroyed; i++) {
    response.write(body.subarray(i, i + 1))
    await wait()
  }
  response.end()
}

async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}
