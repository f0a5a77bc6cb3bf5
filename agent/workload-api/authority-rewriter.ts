import { Transform, type TransformCallback } from 'node:stream'
import { HeaderBlock } from './header-block.js'

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const FRAME_HEADER = 9
const HEADERS = 1
const SETTINGS = 4
const CONTINUATION = 9
const PADDED = 0x08
const PRIORITY = 0x20
const PRIORITY_BYTES = 5
const SETTING_BYTES = 6
/** The Java client sends two or three settings; longer ones are not examined, so that little is buffered. */
const MAX_SETTINGS_BYTES = 1_024
const MAX_CONCURRENT_STREAMS = 3
/** A setting of gRPC (binary metadata) that its C core sends and its Java library does not. */
const GRPC_BINARY_METADATA = 0xfe03

/**
 * Whether a connection that begins with these bytes may be gRPC for Java, which sends the path of the Unix socket as
 * authority: it accepts no streams itself (RFC 9113 6.5.2), and it is not gRPC's C core, which sends `localhost`. Null:
 * more bytes are needed, never more than about a kilobyte.
 */
export function mayNamePath(begin: Buffer): boolean | null {
  if (!PREFACE.startsWith(begin.toString('latin1', 0, PREFACE.length))) return false
  if (begin.length < PREFACE.length + FRAME_HEADER) return null
  const frame = begin.subarray(PREFACE.length)
  const length = frame.readUIntBE(0, 3)
  if (frame[3] !== SETTINGS || length > MAX_SETTINGS_BYTES) return false
  if (frame.length < FRAME_HEADER + length) return null
  let takesNoStreams = false
  for (let at = FRAME_HEADER; at + SETTING_BYTES <= FRAME_HEADER + length; at += SETTING_BYTES) {
    const id = frame.readUInt16BE(at)
    if (id === GRPC_BINARY_METADATA) return false
    if (id === MAX_CONCURRENT_STREAMS) takesNoStreams = frame.readUInt32BE(at + 2) === 0
  }
  return takesNoStreams
}

/**
 * Passes on the client's bytes unchanged, except for invalid authorities: Node's HTTP/2 refuses every request with one
 * (RFC 9113 8.3.1), and gRPC for Java sends the path of the socket. On a Unix socket the authority is not used.
 */
export class AuthorityRewriter extends Transform {
  readonly #block = new HeaderBlock()
  readonly #header = Buffer.alloc(FRAME_HEADER)
  #headerBytes = 0
  #padLengthComes = false
  /** Remaining bytes to pass on unchanged, then those of a header block, then those to pass on after it. */
  #before = PREFACE.length
  #fragment = 0
  #after = 0

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    for (let at = 0; at < chunk.length; at++) {
      if (this.#padLengthComes) this.#padLength(chunk[at] ?? 0)
      else if (this.#before > 0) at += this.#pass(chunk.length - at) - 1
      else if (this.#fragment > 0) {
        chunk[at] = this.#block.next(chunk[at] ?? 0)
        if (--this.#fragment === 0) this.#endFragment()
      } else {
        this.#header[this.#headerBytes++] = chunk[at] ?? 0
        if (this.#headerBytes === FRAME_HEADER) this.#beginFrame()
      }
    }
    done(null, chunk)
  }

  #pass(available: number): number {
    const bytes = Math.min(this.#before, available)
    this.#before -= bytes
    return bytes
  }

  #beginFrame(): void {
    this.#headerBytes = 0
    const length = this.#header.readUIntBE(0, 3)
    const type = this.#header[3]
    const flags = type === HEADERS ? (this.#header[4] ?? 0) : 0
    if (type === HEADERS) this.#block.begin()
    this.#padLengthComes = (flags & PADDED) !== 0 && length > 0
    const isBlock = type === HEADERS || type === CONTINUATION
    this.#before = isBlock ? Math.min((flags & PRIORITY) === 0 ? 0 : PRIORITY_BYTES, length) : length
    this.#fragment = Math.max(0, length - this.#before - (this.#padLengthComes ? 1 : 0))
  }

  #padLength(bytes: number): void {
    this.#padLengthComes = false
    this.#after = Math.min(bytes, this.#fragment)
    this.#fragment -= this.#after
    if (this.#fragment === 0) {
      this.#before += this.#after
      this.#after = 0
    }
  }

  #endFragment(): void {
    this.#before = this.#after
    this.#after = 0
  }
}
