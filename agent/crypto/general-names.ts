import { contextTag, type DerReader, type Element, malformed } from './der.js'

/** Subject alternative names by form (RFC 5280 4.2.1.6). */
export interface GeneralNames {
  readonly uris: readonly string[]
  readonly dns: readonly string[]
  readonly emails: readonly string[]
  /** 4 or 16 octets each. */
  readonly ips: readonly Uint8Array[]
  /** Number of names of other forms (otherName, directoryName, …). */
  readonly others: number
}

export const NO_NAMES: GeneralNames = { uris: [], dns: [], emails: [], ips: [], others: 0 }

/** Forms of a GeneralName with the tags of RFC 5280 4.2.1.6. */
const FORMS = new Map<number, 'email' | 'dns' | 'uri' | 'ip' | 'directory' | 'other'>([
  [contextTag(0, true), 'other'],
  [contextTag(1, false), 'email'],
  [contextTag(2, false), 'dns'],
  [contextTag(3, true), 'other'],
  [contextTag(4, true), 'directory'],
  [contextTag(5, true), 'other'],
  [contextTag(6, false), 'uri'],
  [contextTag(7, false), 'ip'],
  [contextTag(8, false), 'other'],
])

export type GeneralName =
  | { readonly form: 'email' | 'dns' | 'uri'; readonly text: string }
  | { readonly form: 'ip'; readonly octets: Uint8Array }
  | { readonly form: 'directory' | 'other' }

/** One GeneralName. Only printable ASCII, because parsers differ on NUL and control characters. */
export function generalNameOf(element: Element): GeneralName {
  const form = FORMS.get(element.tag)
  if (!form) throw malformed('a general name has an unknown form')
  if (form === 'ip') return { form, octets: element.content }
  if (form === 'directory' || form === 'other') return { form }
  if (!element.content.every((octet) => octet >= 0x20 && octet <= 0x7e)) {
    throw malformed('a name has characters outside printable ASCII')
  }
  return { form, text: Buffer.from(element.content).toString('latin1') }
}

/** The value of a subjectAltName extension. */
export function generalNamesOf(sequence: DerReader): GeneralNames {
  const names = [...sequence.rest()].map(generalNameOf)
  if (names.length === 0) throw malformed('the subject alternative name is empty')
  const texts = (form: 'uri' | 'dns' | 'email') => names.flatMap((name) => (name.form === form ? [name.text] : []))
  const ips = names.flatMap((name) => (name.form === 'ip' ? [name.octets] : []))
  if (ips.some((octets) => octets.length !== 4 && octets.length !== 16))
    throw malformed('an IP address has neither 4 nor 16 octets')
  return {
    uris: texts('uri'),
    dns: texts('dns'),
    emails: texts('email'),
    ips,
    others: names.filter((name) => name.form === 'directory' || name.form === 'other').length,
  }
}
