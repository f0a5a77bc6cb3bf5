/** The name `:authority` in the static table (RFC 7541, appendix A). */
const AUTHORITY_INDEX = 1
const DOT = 0x2e
/** What RFC 3986 3.2 lets stand in an authority, as HTTP/2 libraries check it. */
const ALLOWED = new Set(
  Buffer.from("!$%&'()*+,-.:;=@[]_~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
)
/** No integer of a header block that is accepted is larger. */
const MAX_INTEGER = 2 ** 24
const MAX_SHIFT = 28

/**
 * The fields of a header block (RFC 7541 6), byte by byte: a byte of an authority that cannot stand in one becomes a
 * dot, everything else stays as it is. Only lengths are understood, and no table is kept, since no length changes.
 * Authorities that are Huffman-coded stay as they are. What is malformed is for HTTP/2 to judge.
 */
export class HeaderBlock {
  /** What the next byte belongs to. */
  #state: 'field' | 'name-length' | 'name' | 'value-length' | 'value' = 'field'
  #integer = 0
  /** Where the next byte of an unfinished integer goes; -1 while there is none. */
  #shift = -1
  /** Bytes of the string that are still to come. */
  #left = 0
  #huffman = false
  /** The field has a value of its own; an indexed one has not. */
  #literal = false
  #authority = false

  /** Forgets what was unfinished. */
  begin(): void {
    this.#state = 'field'
    this.#shift = -1
  }

  /** What to pass on for the byte. */
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
