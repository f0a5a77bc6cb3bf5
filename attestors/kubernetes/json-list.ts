import { AgentError } from '../../agent/errors.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const OPEN_ARRAY = 0x5b
const CLOSE_OBJECT = 0x7d
const CLOSE_ARRAY = 0x5d
const MAX_REST_BYTES = 256 * 1024
const ITEMS = /(?<!\\)"items"\s*:\s*$/

/**
 * Splits a list of the API (`{"metadata":…,"items":[…]}`) while it arrives: each item is parsed and passed on when it is
 * complete, so that memory depends on the size of one item and not of the list, which is unlimited (decision 0017).
 * RFC 8259.
 *
 * Throws `platform.unavailable` for invalid JSON and for an item of more than `maxItemBytes`.
 */
export class JsonList {
  readonly #rest: Buffer[] = []
  #restBytes = 0
  #item: Buffer[] = []
  #itemBytes = 0
  #depth = 0
  #inString = false
  #escaped = false
  /** The depth of the array of items while it is open. */
  #itemsAt: number | null = null

  constructor(
    private readonly onItem: (item: unknown) => void,
    private readonly maxItemBytes: number,
  ) {}

  push(chunk: Buffer): void {
    // The start of the part that has not been stored yet.
    let from = 0
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]
      if (this.#inString) this.#readString(byte)
      else if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        if (this.#depth === this.#itemsAt) from = i
        this.#depth++
        if (this.#depth === 2 && byte === OPEN_ARRAY && this.#isItems(chunk.subarray(from, i))) {
          this.#keep(chunk.subarray(from, i + 1))
          from = i + 1
          this.#itemsAt = 2
        }
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
        this.#depth--
        if (this.#itemsAt === null || this.#depth > this.#itemsAt) continue
        if (this.#depth === this.#itemsAt) {
          this.#collect(chunk.subarray(from, i + 1))
          this.#emit()
          from = i + 1
        } else {
          from = i
          this.#itemsAt = null
        }
      }
    }
    const left = chunk.subarray(from)
    if (this.#itemsAt === null) this.#keep(left)
    else if (this.#depth > this.#itemsAt) this.#collect(left)
  }

  /** The list without its items. */
  end(): unknown {
    if (this.#depth !== 0) throw broken('it was cut off')
    return parse(this.#rest)
  }

  #readString(byte: number | undefined): void {
    if (this.#escaped) this.#escaped = false
    else if (byte === BACKSLASH) this.#escaped = true
    else if (byte === QUOTE) this.#inString = false
  }

  #isItems(before: Buffer): boolean {
    return ITEMS.test(
      Buffer.concat([...this.#rest, before])
        .subarray(-64)
        .toString('latin1'),
    )
  }

  #keep(piece: Buffer): void {
    this.#restBytes += piece.length
    if (this.#restBytes > MAX_REST_BYTES) throw broken('it is not a list of objects')
    this.#rest.push(Buffer.from(piece))
  }

  #collect(piece: Buffer): void {
    this.#itemBytes += piece.length
    if (this.#itemBytes > this.maxItemBytes) throw broken(`an object is larger than ${this.maxItemBytes} bytes`)
    // The connection may reuse the buffer.
    this.#item.push(Buffer.from(piece))
  }

  #emit(): void {
    const item = this.#item
    this.#item = []
    this.#itemBytes = 0
    this.onItem(parse(item))
  }
}

function parse(pieces: readonly Buffer[]): unknown {
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) throw broken('it is not JSON')
    throw error
  }
}

function broken(why: string): AgentError {
  return new AgentError('platform.unavailable', `the answer of Kubernetes cannot be read: ${why}`)
}
