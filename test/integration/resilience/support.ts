import { X509Certificate } from 'node:crypto'
import { fromBinary } from '@bufbuild/protobuf'
import { X509SVIDResponseSchema } from '../../../proto/gen/spiffe/workload_pb.js'
import type { RunningAgent } from '../../support/agent.js'
import { openStream, type RawStream, SECURITY_HEADER, SPIFFE } from '../../support/raw-stream.js'
import { eventually } from '../../support/until.js'

export const uid = String(process.getuid?.())

/** What a workload holds after a message. */
export interface Context {
  readonly ids: readonly string[]
  readonly leaf: X509Certificate
  /** DER. */
  readonly chain: Uint8Array
  readonly key: Uint8Array
  /** Certificates of its own trust domain. */
  readonly bundle: readonly X509Certificate[]
}

/** A stream of X.509-SVIDs, its messages read. */
export interface SvidStream extends Disposable {
  next(): Promise<Context>
  /** Resolves with the first message that is like it. */
  until(like: (context: Context) => boolean): Promise<Context>
  /** Resolves with the gRPC status that ends it, whatever comes before. */
  ended(): Promise<number>
  /** The same, with its message. */
  failed(): Promise<{ readonly code: number; readonly message: string }>
}

export function svidStream(address: string): SvidStream {
  const stream: RawStream = openStream(address, `${SPIFFE}/FetchX509SVID`, { metadata: SECURITY_HEADER })
  const next = async () => contextOf(await stream.next())
  const failed = async () => {
    for (;;) {
      try {
        await stream.next()
      } catch (error) {
        return error as { readonly code: number; readonly message: string }
      }
    }
  }
  return {
    next,
    async until(like) {
      for (;;) {
        const context = await next()
        if (like(context)) return context
      }
    },
    ended: async () => (await failed()).code,
    failed,
    [Symbol.dispose]: () => stream[Symbol.dispose](),
  }
}

/** The first message of a new stream. */
export async function fetchOnce(address: string): Promise<Context> {
  using stream = svidStream(address)
  return await stream.next()
}

/** The first message of a new stream that gets one: an agent that has only just started may need longer than it holds. */
export async function served(address: string): Promise<Context> {
  const context = await eventually(
    () => fetchOnce(address).catch(pause),
    (found) => found !== null,
  )
  if (!context) throw new TypeError('nothing was served')
  return context
}

/** Whoever connects again at once, again and again, uses up the rate of its process. */
async function pause(): Promise<null> {
  await new Promise((resolve) => setTimeout(resolve, 250))
  return null
}

export function contextOf(message: Uint8Array): Context {
  const { svids } = fromBinary(X509SVIDResponseSchema, message)
  const [first] = svids
  if (!first) throw new TypeError('a message without an identity')
  return {
    ids: svids.map(({ spiffeId }) => spiffeId),
    leaf: new X509Certificate(first.x509Svid),
    chain: first.x509Svid,
    key: first.x509SvidKey,
    bundle: certificates(first.bundle),
  }
}

/** Certificates in DER, one after the other; each is longer than 255 bytes. */
function certificates(der: Uint8Array): X509Certificate[] {
  const found: X509Certificate[] = []
  const bytes = Buffer.from(der)
  for (let at = 0; at + 4 < bytes.length; ) {
    const end = at + 4 + bytes.readUInt16BE(at + 2)
    found.push(new X509Certificate(bytes.subarray(at, end)))
    at = end
  }
  return found
}

/** The health port of an agent that was started with `HEALTH__PORT` 0. */
export async function healthOf(
  agent: RunningAgent,
): Promise<(path: string) => Promise<{ status: number; body: Body }>> {
  const { port } = await agent.logged('Health server started')
  return async (path) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: response.status, body: (await response.json()) as Body }
  }
}

interface Body {
  readonly status?: string
  readonly ready?: boolean
  readonly reasons?: readonly string[]
  readonly components?: Readonly<
    Record<string, { readonly status: string; readonly since?: string; readonly message?: string }>
  >
}
