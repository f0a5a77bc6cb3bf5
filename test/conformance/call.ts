import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import type { DialectName } from '../../agent/client/dialect-name.js'
import * as authsec from '../../proto/gen/authsec/workload_pb.js'
import * as spiffe from '../../proto/gen/spiffe/workload_pb.js'
import { AUTHSEC, callUnary, openStream, type RawStream, SECURITY_HEADER, SPIFFE } from '../support/raw-stream.js'
import { type Bundles, DECODE, type X509Message } from './decode.js'

/** Where the methods of a dialect are, and the metadata that they want. */
export const SERVICE: Readonly<Record<DialectName, { path: string; metadata: Readonly<Record<string, string>> }>> = {
  spiffe: { path: SPIFFE, metadata: SECURITY_HEADER },
  authsec: { path: AUTHSEC, metadata: {} },
}

/** A stream that remembers its messages. */
export class Watch<T> implements Disposable {
  readonly seen: T[] = []
  readonly #stream: RawStream

  constructor(
    address: string,
    dialect: DialectName,
    method: string,
    private readonly decode: (message: Uint8Array) => T,
  ) {
    const { path, metadata } = SERVICE[dialect]
    this.#stream = openStream(address, `${path}/${method}`, { metadata })
  }

  /** The next message; rejects with the status that ended the stream. */
  async next(): Promise<T> {
    const message = this.decode(await this.#stream.next())
    this.seen.push(message)
    return message
  }

  /** Reads on until a message is as wanted. */
  async until(wanted: (message: T) => boolean): Promise<T> {
    for (;;) {
      const message = await this.next()
      if (wanted(message)) return message
    }
  }

  /** Reads to the end and resolves with its status code. */
  async end(): Promise<status> {
    return await codeOf(this.until(() => false))
  }

  [Symbol.dispose](): void {
    this.#stream[Symbol.dispose]()
  }
}

export class X509Watch extends Watch<X509Message> {
  constructor(address: string, dialect: DialectName) {
    super(address, dialect, 'FetchX509SVID', DECODE[dialect].x509)
  }
}

export class BundlesWatch extends Watch<Bundles> {
  constructor(address: string, dialect: DialectName) {
    super(address, dialect, 'FetchX509Bundles', DECODE[dialect].bundles)
  }
}

export type Jwks = { readonly keys: readonly Readonly<Record<string, unknown>>[] }

export class JwtBundlesWatch extends Watch<Readonly<Record<string, Jwks>>> {
  constructor(address: string, dialect: DialectName) {
    const schema = dialect === 'spiffe' ? spiffe.JWTBundlesResponseSchema : authsec.JWTBundlesResponseSchema
    super(address, dialect, 'FetchJWTBundles', (message) => {
      const { bundles } = fromBinary(schema, message)
      const parsed = Object.entries(bundles).map(([key, jwks]) => [key, JSON.parse(Buffer.from(jwks).toString('utf8'))])
      return Object.fromEntries(parsed) as Record<string, Jwks>
    })
  }
}

/** The first message of a stream. */
export async function first<T>(watch: Watch<T>): Promise<T> {
  using stream = watch
  return await stream.next()
}

export interface Token {
  readonly spiffeId: string
  readonly svid: string
  readonly hint: string
}

export async function fetchJwt(
  address: string,
  dialect: DialectName,
  { audience = ['conformance'], spiffeId = '' }: { audience?: readonly string[]; spiffeId?: string } = {},
): Promise<readonly Token[]> {
  const { path, metadata } = SERVICE[dialect]
  const { JWTSVIDRequestSchema: asked } = dialect === 'spiffe' ? spiffe : authsec
  const request = toBinary(asked, create(asked, { audience: [...audience], spiffeId }))
  const answer = await callUnary(address, `${path}/FetchJWTSVID`, { metadata, request })
  if (dialect === 'spiffe') return fromBinary(spiffe.JWTSVIDResponseSchema, answer).svids
  return fromBinary(authsec.JWTSVIDResponseSchema, answer).svids.map((svid) => ({ ...svid, hint: '' }))
}

/** The same, asked again as clients do while the server has not issued it, which takes a busy machine a while. */
export async function tokensOf(...call: Parameters<typeof fetchJwt>): Promise<readonly Token[]> {
  for (let again = 5; ; again--) {
    try {
      return await fetchJwt(...call)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null
      if (code !== status.UNAVAILABLE || again === 0) throw error
    }
  }
}

export interface Validated {
  readonly spiffeId: string
  readonly claims: Readonly<Record<string, unknown>>
}

export async function validateJwt(
  address: string,
  dialect: DialectName,
  svid: string,
  audience = 'conformance',
): Promise<Validated> {
  const { path, metadata } = SERVICE[dialect]
  const { ValidateJWTSVIDRequestSchema: asked } = dialect === 'spiffe' ? spiffe : authsec
  const request = toBinary(asked, create(asked, { audience, svid }))
  const answer = await callUnary(address, `${path}/ValidateJWTSVID`, { metadata, request })
  if (dialect === 'spiffe') {
    const { spiffeId, claims } = fromBinary(spiffe.ValidateJWTSVIDResponseSchema, answer)
    return { spiffeId, claims: claims ?? {} }
  }
  const { spiffeId, claims } = fromBinary(authsec.ValidateJWTSVIDResponseSchema, answer)
  return { spiffeId, claims }
}

/** The status code with which something ends. */
export async function codeOf(call: Promise<unknown>): Promise<status> {
  try {
    await call
    return status.OK
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'number') return error.code
    throw error
  }
}
