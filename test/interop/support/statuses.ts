import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import { AUTHSEC, SPIFFE } from '../../support/raw-stream.js'
import type { Told } from './client-process.js'
import type { Environment } from './environment.js'
import type { Program } from './programs.js'
import { firstMessages, nameOf, StatusServer } from './status-server.js'

/** Every status with which an agent may end a stream. */
export const CODES = [
  status.CANCELLED,
  status.INVALID_ARGUMENT,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.UNAVAILABLE,
  status.UNIMPLEMENTED,
] as const
/** When a client has settled; and a time that is longer than its next pauses. */
const SETTLED_MS = 4_000
const WATCHED_MS = 8_000

/**
 * The statuses that end a client's watch of X.509-SVIDs for good, once it had its first message. `program` is asked for
 * each process.
 */
export async function neverAsksAgain(environment: Environment, program: () => Program): Promise<status[]> {
  const { address } = environment.agent
  const messages = { ...(await firstMessages(address, SPIFFE)), ...(await firstMessages(address, AUTHSEC)) }
  const asksAgain = await Promise.all(
    CODES.map(async (code) => {
      const socketPath = join(environment.dir, `status-${code}.sock`)
      using server = await StatusServer.start(socketPath, messages, code)
      await using client = environment.start(program(), ['watch'], `unix://${socketPath}`)
      await client.event('x509')
      await sleep(SETTLED_MS)
      const before = server.calls.get('FetchX509SVID')
      await sleep(WATCHED_MS)
      return server.calls.get('FetchX509SVID') !== before
    }),
  )
  return CODES.filter((_, index) => !asksAgain[index])
}

const NAMES = Object.values(status).filter((code): code is status => typeof code === 'number')

/** The status that a client tells of in its own words: `PERMISSION_DENIED`, `PermissionDenied`, `permission denied`. */
export function statusIn(told: Told): string {
  const text = (told.error ?? '').toLowerCase().replaceAll(/[ _]/g, '')
  const code = NAMES.find((name) => text.includes(nameOf(name).toLowerCase()) && name !== status.OK)
  if (code !== undefined) return nameOf(code)
  return text.includes('noidentityissued') ? 'no identity issued' : 'an error'
}
