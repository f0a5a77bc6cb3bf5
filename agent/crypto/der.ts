import { AgentError } from '../errors.js'

/** Identifier octets of the types that certificates are made of (X.690 8.1.2). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
} as const

/** Identifier octet of a context-specific tag below 31. */
export function contextTag(number: number, constructed: boolean): number {
  return 0x80 | (constructed ? 0x20 : 0) | number
}

/** One element: its identifier octet, its content, and both with the length between them. */
export interface Element {
  readonly tag: number
  readonly content: Uint8Array
  readonly raw: Uint8Array
}

/**
 * Reads consecutive DER elements (X.690 10): definite, shortest lengths and low tag numbers only. It is stricter than
 * the BER that other parsers take, so that no two readers see two meanings. All errors are `svid.invalid`.
 */
export class DerReader {
  #offset = 0
  constructor(private readonly bytes: Uint8Array) {}

  get done(): boolean {
    return this.#offset >= this.bytes.length
  }

  /** Takes the next element, which must have the tag if one is given. */
  next(tag?: number): Element {
    const start = this.#offset
    const found = this.#octet()
    if ((found & 0x1f) === 0x1f) throw malformed('an element has a tag number above 30')
    if (tag !== undefined && found !== tag)
      throw malformed(`expected an element with tag ${hex(tag)}, found ${hex(found)}`)
    const length = this.#length()
    const end = this.#offset + length
    if (end > this.bytes.length) throw malformed('an element is longer than the bytes that hold it')
    const content = this.bytes.subarray(this.#offset, end)
    this.#offset = end
    return { tag: found, content, raw: this.bytes.subarray(start, end) }
  }

  /** Takes the next element if it has the tag. */
  optional(tag: number): Element | null {
    return this.bytes[this.#offset] === tag ? this.next(tag) : null
  }

  /** A reader of the next element's content. */
  enter(tag: number): DerReader {
    return new DerReader(this.next(tag).content)
  }

  /** All remaining elements. */
  *rest(tag?: number): Generator<Element> {
    while (!this.done) yield this.next(tag)
  }

  /** Throws if unread bytes remain. */
  end(): void {
    if (!this.done) throw malformed('bytes follow the last element')
  }

  #length(): number {
    const first = this.#octet()
    if (first < 0x80) return first
    const count = first & 0x7f
    if (count === 0 || count > 4) throw malformed('a length is indefinite or has more than 4 octets')
    let length = 0
    for (let i = 0; i < count; i++) length = length * 256 + this.#octet()
    if (length < 0x80 || length < 256 ** (count - 1)) throw malformed('a length is not in its shortest form')
    return length
  }

  #octet(): number {
    const octet = this.bytes[this.#offset++]
    if (octet === undefined) throw malformed('an element is cut off')
    return octet
  }
}

/** Dotted decimal form of an object identifier's content. */
export function oidOf(content: Uint8Array): string {
  const arcs: number[] = []
  let arc = 0
  for (const [i, octet] of content.entries()) {
    if (arc === 0 && octet === 0x80) throw malformed('an object identifier has padding')
    arc = arc * 128 + (octet & 0x7f)
    if (!Number.isSafeInteger(arc)) throw malformed('an object identifier has a component above 2^53')
    if (octet & 0x80) {
      if (i === content.length - 1) throw malformed('an object identifier is cut off')
      continue
    }
    if (arcs.length === 0) arcs.push(Math.min(2, Math.floor(arc / 40)), arc - 40 * Math.min(2, Math.floor(arc / 40)))
    else arcs.push(arc)
    arc = 0
  }
  if (arcs.length === 0) throw malformed('an object identifier is empty')
  return arcs.join('.')
}

/** X.690 11.1: TRUE is 0xFF in DER. */
export function booleanOf(content: Uint8Array): boolean {
  if (content.length !== 1 || (content[0] !== 0x00 && content[0] !== 0xff))
    throw malformed('a BOOLEAN is neither 0x00 nor 0xFF')
  return content[0] === 0xff
}

/** True for an INTEGER that is empty or not in its shortest form (X.690 8.3.2: its first nine bits are not all the same). */
export function isPadded([first, second]: Uint8Array): boolean {
  if (second === undefined) return first === undefined
  return (first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80)
}

/** A small non-negative integer (a version, a path length). */
export function smallIntegerOf(content: Uint8Array): number {
  const [first] = content
  if (first === undefined || content.length > 4 || first & 0x80) throw malformed('an INTEGER is out of range')
  if (isPadded(content)) throw malformed('an INTEGER has padding')
  return content.reduce((value, octet) => value * 256 + octet, 0)
}

/** Milliseconds since 1970 of a UTCTime or GeneralizedTime in the forms of RFC 5280 4.1.2.5. */
export function timeOf(element: Element): number {
  const text = Buffer.from(element.content).toString('latin1')
  const match = (element.tag === TAG.utcTime ? UTC_TIME : GENERALIZED_TIME).exec(text)
  if (!match || (element.tag !== TAG.utcTime && element.tag !== TAG.generalizedTime))
    throw malformed('a time has a form that RFC 5280 4.1.2.5 forbids')
  const [year, month, day, hours, minutes, seconds] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const full = element.tag === TAG.utcTime ? year + (year >= 50 ? 1900 : 2000) : year
  const iso = `${String(full).padStart(4, '0')}-${pad(month)}-${pad(day)}T${pad(hours)}:${pad(minutes)}:${pad(seconds)}.000Z`
  const time = Date.parse(iso)
  if (Number.isNaN(time) || new Date(time).toISOString() !== iso) throw malformed('a time does not exist')
  return time
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/

export function malformed(what: string): AgentError {
  return new AgentError('svid.invalid', `malformed certificate: ${what}`, { details: { check: 'encoding' } })
}

function hex(octet: number): string {
  return `0x${octet.toString(16).padStart(2, '0')}`
}

function pad(number: number): string {
  return String(number).padStart(2, '0')
}
