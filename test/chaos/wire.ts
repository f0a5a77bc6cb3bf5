/** One identity of an X509SVIDResponse: DER, the key as PKCS#8. */
export interface WireSvid {
  readonly spiffeId: string
  readonly chain: Buffer
  readonly key: Buffer
  readonly bundle: Buffer
}

/** A gRPC frame that holds an empty message. */
export const EMPTY_MESSAGE = Buffer.alloc(5)

/** The gRPC messages that are complete, and what is left. */
export function decodeFrames(bytes: Buffer): { readonly messages: readonly Buffer[]; readonly rest: Buffer } {
  const messages: Buffer[] = []
  let at = 0
  while (bytes.length >= at + 5) {
    const end = at + 5 + bytes.readUInt32BE(at + 1)
    if (bytes.length < end) break
    messages.push(bytes.subarray(at + 5, end))
    at = end
  }
  return { messages, rest: bytes.subarray(at) }
}

/** The identities of an X509SVIDResponse, read without a protobuf library: a workload process is to be small. */
export function decodeSvids(message: Buffer): readonly WireSvid[] {
  return fields(message)
    .filter(([number]) => number === 1)
    .map(([, svid]) => {
      const parts = new Map(fields(svid))
      const part = (number: number) => parts.get(number) ?? Buffer.alloc(0)
      return { spiffeId: part(1).toString('utf8'), chain: part(2), key: part(3), bundle: part(4) }
    })
}

/** A gRPC frame that holds a JWTSVIDRequest for one audience and one identity. */
export function encodeJwtSvidRequest(audience: string, spiffeId: string): Buffer {
  const field = (number: number, text: string) => {
    const content = Buffer.from(text)
    if (content.length > 127) throw new TypeError('a length of more than one byte')
    return Buffer.concat([Buffer.from([(number << 3) | 2, content.length]), content])
  }
  const message = Buffer.concat([field(1, audience), field(2, spiffeId)])
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** The tokens of a JWTSVIDResponse. */
export function decodeJwtSvids(message: Buffer): readonly { readonly spiffeId: string; readonly token: string }[] {
  return fields(message)
    .filter(([number]) => number === 1)
    .map(([, svid]) => {
      const parts = new Map(fields(svid))
      return { spiffeId: parts.get(1)?.toString('utf8') ?? '', token: parts.get(2)?.toString('utf8') ?? '' }
    })
}

/** The JWK sets of a JWTBundlesResponse, by trust domain. */
export function decodeJwtBundles(message: Buffer): ReadonlyMap<string, Buffer> {
  const entries = fields(message).map(([, entry]) => new Map(fields(entry)))
  return new Map(entries.map((entry) => [entry.get(1)?.toString('utf8') ?? '', entry.get(2) ?? Buffer.alloc(0)]))
}

/** Certificates one after the other in DER: each begins with a sequence of a long length. */
export function certificatesOf(bundle: Buffer): readonly Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at + 4 < bundle.length; ) {
    const length = 4 + bundle.readUInt16BE(at + 2)
    found.push(bundle.subarray(at, at + length))
    at += length
  }
  return found
}

/** Number and content of every length-delimited field; the Workload API has no others. */
function fields(message: Buffer): [number, Buffer][] {
  const found: [number, Buffer][] = []
  let at = 0
  const varint = () => {
    let value = 0
    for (let shift = 1; ; shift *= 128) {
      const byte = message.readUInt8(at++)
      value += (byte & 127) * shift
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const tag = varint()
    if ((tag & 7) !== 2) throw new TypeError(`a field of wire type ${tag & 7}`)
    const length = varint()
    found.push([tag >> 3, message.subarray(at, at + length)])
    at += length
  }
  return found
}
