/** A call whose arguments are strings, which is enough for systemd. */
export interface MethodCall {
  readonly serial: number
  readonly destination: string
  readonly path: string
  readonly interface: string
  readonly member: string
  readonly args: readonly string[]
}

export interface DbusMessage {
  readonly type: 'reply' | 'error' | 'other'
  /** The serial of the call that it answers; 0: none. */
  readonly replyTo: number
  /** The first value of a reply if it is a string (or one in a variant), else null. */
  readonly value: string | null
  /** `org.freedesktop.DBus.Error.UnknownObject`; null unless it is an error. */
  readonly error: string | null
}

/** systemd's answers to such calls have some 100 bytes. */
const MAX_BYTES = 65_536
const FIXED_BYTES = 16
const LITTLE = 0x6c
const BIG = 0x42
const CALL = 1
const FIELD = { path: 1, interface: 2, member: 3, error: 4, replyTo: 5, destination: 6, signature: 8 } as const

/** D-Bus specification, "Message Protocol": a call in little-endian order. */
export function encodeCall({ serial, args, ...call }: MethodCall): Buffer {
  const body = new Writer()
  for (const arg of args) body.string(arg)
  const header = new Writer()
  header.bytes(LITTLE, CALL, 0, 1)
  header.uint32(body.length)
  header.uint32(serial)
  const fields = new Writer()
  fields.field(FIELD.path, 'o', call.path)
  fields.field(FIELD.interface, 's', call.interface)
  fields.field(FIELD.member, 's', call.member)
  fields.field(FIELD.destination, 's', call.destination)
  if (args.length > 0) fields.field(FIELD.signature, 'g', 's'.repeat(args.length))
  header.uint32(fields.length)
  // The fields begin at byte 16, so they are aligned within the message as they are by themselves.
  const head = Buffer.concat([header.buffer(), fields.buffer()])
  return Buffer.concat([head, Buffer.alloc(padding(head.length, 8)), body.buffer()])
}

/**
 * The first message in the buffer and its size; null if it is not complete yet. Throws a RangeError if it is not a message,
 * or larger than 64 KiB.
 */
export function decodeMessage(buffer: Buffer): { readonly message: DbusMessage; readonly bytes: number } | null {
  if (buffer.length < FIXED_BYTES) return null
  const order = buffer[0]
  if (order !== LITTLE && order !== BIG) throw new RangeError('no message of D-Bus')
  const header = new DbusReader(buffer, order === LITTLE)
  const [, type] = [header.byte(), header.byte(), header.byte(), header.byte()]
  const bodyLength = header.uint32()
  header.uint32()
  const fieldsLength = header.uint32()
  const bodyAt = FIXED_BYTES + fieldsLength + padding(fieldsLength, 8)
  const bytes = bodyAt + bodyLength
  if (bytes > MAX_BYTES) throw new RangeError(`a message of ${bytes} bytes`)
  if (buffer.length < bytes) return null

  const fields = new DbusReader(buffer.subarray(0, FIXED_BYTES + fieldsLength), order === LITTLE, FIXED_BYTES)
  const known = new Map<number, string | number>()
  while (!fields.atEnd()) {
    fields.align(8)
    const code = fields.byte()
    const value = fields.value(fields.signature())
    if (value === undefined) throw new RangeError('a header field of an unknown type')
    known.set(code, value)
  }
  const signature = String(known.get(FIELD.signature) ?? '')
  const error = known.get(FIELD.error)
  const answer = {
    replyTo: Number(known.get(FIELD.replyTo) ?? 0),
    error: error === undefined ? null : String(error),
  }
  // The name of an error is enough; its text is not used.
  if (type !== 2) return { bytes, message: { ...answer, type: type === 3 ? 'error' : 'other', value: null } }
  const body = new DbusReader(buffer.subarray(bodyAt, bytes), order === LITTLE)
  const value = signature === '' ? undefined : body.value(signature.startsWith('v') ? body.signature() : signature[0])
  return { bytes, message: { ...answer, type: 'reply', value: typeof value === 'string' ? value : null } }
}

function padding(length: number, alignment: number): number {
  return (alignment - (length % alignment)) % alignment
}

class Writer {
  #parts: Buffer[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  buffer(): Buffer {
    return Buffer.concat(this.#parts)
  }

  bytes(...values: readonly number[]): void {
    this.#push(Buffer.from(values))
  }

  uint32(value: number): void {
    this.#align(4)
    const buffer = Buffer.alloc(4)
    buffer.writeUInt32LE(value)
    this.#push(buffer)
  }

  string(text: string): void {
    this.uint32(Buffer.byteLength(text))
    this.#push(Buffer.from(`${text}\0`))
  }

  /** A header field: its code, and a variant of a string, an object path or a signature. */
  field(code: number, type: 's' | 'o' | 'g', text: string): void {
    this.#align(8)
    this.bytes(code, 1, type.charCodeAt(0), 0)
    if (type === 'g') this.#push(Buffer.from([text.length, ...Buffer.from(text), 0]))
    else this.string(text)
  }

  #align(to: number): void {
    this.#push(Buffer.alloc(padding(this.#length, to)))
  }

  #push(part: Buffer): void {
    this.#parts.push(part)
    this.#length += part.length
  }
}

/** Reading beyond the end is a RangeError of Buffer's. */
class DbusReader {
  constructor(
    private readonly buffer: Buffer,
    private readonly little: boolean,
    private at = 0,
  ) {}

  atEnd(): boolean {
    return this.at >= this.buffer.length
  }

  align(to: number): void {
    this.at += padding(this.at, to)
  }

  byte(): number {
    return this.buffer.readUInt8(this.at++)
  }

  uint32(): number {
    this.align(4)
    const value = this.little ? this.buffer.readUInt32LE(this.at) : this.buffer.readUInt32BE(this.at)
    this.at += 4
    return value
  }

  signature(): string {
    return this.#text(this.byte())
  }

  /** Undefined for unused types. */
  value(type: string | undefined): string | number | undefined {
    switch (type) {
      case 's':
      case 'o':
        return this.#text(this.uint32())
      case 'g':
        return this.signature()
      case 'u':
        return this.uint32()
      default:
        return undefined
    }
  }

  /** A text is followed by a zero byte that its length does not include. */
  #text(length: number): string {
    const end = this.at + length
    if (end >= this.buffer.length) throw new RangeError('a text that is longer than its message')
    const text = this.buffer.toString('utf8', this.at, end)
    this.at = end + 1
    return text
  }
}
