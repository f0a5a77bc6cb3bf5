/** The name `:authority` in the static table (RFC 7541, appendix A). */
const AUTHORITY_INDEX = 1
const DOT = 0x2e
/** The characters that RFC 3986 3.2 allows in an authority, as HTTP/2 libraries check them. */
const ALLOWED = new Set(
  Buffer.from("!$%&'()*+,-.:;=@[]_~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
)
/** Larger than any integer in an acceptable header block. */
const MAX_INTEGER = 2 ** 24
const MAX_SHIFT = 28

/**
 * Parses a header block (RFC 7541 6) byte by byte: an invalid byte of an authority becomes a dot, every other byte is
 * unchanged. Because no length changes, it keeps no table and only follows lengths. Huffman-coded authorities are not
 * changed. HTTP/2 handles malformed blocks.
 */
export class HeaderBlock {
  /** What the next byte belongs to. */
  #state: 'field' | 'name-length' | 'name' | 'value-length' | 'value' = 'field'
  #integer = 0
  /** The bit position of the next byte of an unfinished integer; -1: none. */
  #shift = -1
  /** Bytes of the string that are still to come. */
  #left = 0
  #huffman = false
  /** The field has a value of its own; an indexed one has not. */
  #literal = false
  #authority = false

  /** Resets the state at the start of a block. */
  begin(): void {
    this.#state = 'field'
    this.#shift = -1
  }

  /** The byte to pass on for this one. */
  next(byte: number): number {
    if (this.#shift >= 0) this.#continueInteger(byte)
    else if (this.#state === 'field') this.#beginField(byte)
    else if (this.#state === 'name-length' || this.#state === 'value-length') {
      this.#huffman = byte >= 0x80
      this.#beginInteger(byte, 7)
    } else return this.#character(byte)
    return byte
  }

  #character(byte: number): number {
    const isValue = this.#state === 'value'
    if (--this.#left === 0) this.#state = isValue ? 'field' : 'value-length'
    return isValue && this.#authority && !this.#huffman && !ALLOWED.has(byte) ? DOT : byte
  }

  /** Indexed field, literal that enters the table, size of the table, literal that does not enter it. */
  #beginField(byte: number): void {
    const [bits, literal]: [number, boolean] =
      byte >= 0x80 ? [7, false] : byte >= 0x40 ? [6, true] : byte >= 0x20 ? [5, false] : [4, true]
    this.#literal = literal
    this.#beginInteger(byte, bits)
  }

  #beginInteger(byte: number, bits: number): void {
    const full = 2 ** bits - 1
    this.#integer = byte & full
    if (this.#integer === full) this.#shift = 0
    else this.#endInteger()
  }

  #continueInteger(byte: number): void {
    const part = (byte & 0x7f) * 2 ** Math.min(this.#shift, MAX_SHIFT)
    this.#integer = Math.min(MAX_INTEGER, this.#integer + part)
    this.#shift += 7
    if (byte >= 0x80) return
    this.#shift = -1
    this.#endInteger()
  }

  /** The integer is the index of a name, or the length of a string. */
  #endInteger(): void {
    if (this.#state === 'field') {
      if (!this.#literal) return
      this.#authority = this.#integer === AUTHORITY_INDEX
      this.#state = this.#integer === 0 ? 'name-length' : 'value-length'
      return
    }
    this.#left = this.#integer
    if (this.#state === 'name-length') this.#state = this.#left === 0 ? 'value-length' : 'name'
    else this.#state = this.#left === 0 ? 'field' : 'value'
  }
}
