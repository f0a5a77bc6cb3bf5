import { contextTag, DerReader, malformed, smallIntegerOf } from './der.js'
import { type GeneralName, type GeneralNames, generalNameOf } from './general-names.js'

/** The names that certificates below an authority may have (RFC 5280 4.2.1.10). */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[]
  readonly excluded: readonly GeneralName[]
}

/** The names of a certificate that the constraints above it apply to. */
export interface ConstrainedNames {
  readonly names: GeneralNames
  readonly subjectEmpty: boolean
}

/** The value of a nameConstraints extension. */
export function nameConstraintsOf(sequence: DerReader): NameConstraints {
  const permitted = sequence.optional(contextTag(0, true))
  const excluded = sequence.optional(contextTag(1, true))
  sequence.end()
  if (!permitted && !excluded) throw malformed('the name constraints are empty')
  return { permitted: subtrees(permitted?.content), excluded: subtrees(excluded?.content) }
}

/**
 * Why the names violate the constraints; null if they do not. A constraint on a form that the agent cannot compare
 * (directory names and rarer ones) is violated if a certificate has a name of that form, so that no constraint is skipped.
 */
export function violation(constraints: NameConstraints, subject: ConstrainedNames): string | null {
  const { names, subjectEmpty } = subject
  for (const base of [...constraints.permitted, ...constraints.excluded]) {
    if (base.form === 'directory' && (!subjectEmpty || names.others > 0)) {
      return 'the authority constrains directory names, which cannot be compared'
    }
    if (base.form === 'other' && names.others > 0) return 'the authority constrains names of an unknown form'
  }
  for (const name of comparable(names)) {
    const permitted = constraints.permitted.filter((base) => base.form === name.form)
    if (permitted.length > 0 && !permitted.some((base) => within(name, base, false))) {
      return `a ${name.form} name is outside the names that the authority permits`
    }
    if (constraints.excluded.some((base) => base.form === name.form && within(name, base, true))) {
      return `the authority excludes a ${name.form} name`
    }
  }
  return null
}

function subtrees(content: Uint8Array | undefined): GeneralName[] {
  if (!content) return []
  return [...new DerReader(content).rest(0x30)].map(({ content: subtree }) => {
    const reader = new DerReader(subtree)
    const base = generalNameOf(reader.next())
    const minimum = reader.optional(contextTag(0, false))
    if (minimum && smallIntegerOf(minimum.content) !== 0) throw malformed('the name constraints have a minimum')
    reader.end()
    if (base.form === 'ip' && base.octets.length !== 8 && base.octets.length !== 32)
      throw malformed('an IP range has neither 8 nor 32 octets')
    return base
  })
}

function comparable(names: GeneralNames): GeneralName[] {
  return [
    ...names.uris.map((text) => ({ form: 'uri', text }) as const),
    ...names.dns.map((text) => ({ form: 'dns', text }) as const),
    ...names.emails.map((text) => ({ form: 'email', text }) as const),
    ...names.ips.map((octets) => ({ form: 'ip', octets }) as const),
  ]
}

/** `wide`: an exclusion covers more than a permission, so that the stricter reading wins in both cases. */
function within(name: GeneralName, base: GeneralName, wide: boolean): boolean {
  if (name.form === 'ip') return base.form === 'ip' && inRange(name.octets, base.octets)
  if (!('text' in name) || !('text' in base)) return false
  if (base.text === '') return true
  if (name.form === 'email') return mailboxWithin(name.text, base.text, wide)
  return hostWithin(name.form === 'uri' ? hostOf(name.text) : name.text, base.text, wide || name.form === 'dns')
}

function hostWithin(host: string, base: string, subdomains: boolean): boolean {
  const [name, constraint] = [host.toLowerCase(), base.toLowerCase()]
  if (constraint.startsWith('.')) return name.endsWith(constraint) && name.length > constraint.length
  return name === constraint || (subdomains && name.endsWith(`.${constraint}`))
}

function mailboxWithin(mailbox: string, base: string, wide: boolean): boolean {
  const at = mailbox.lastIndexOf('@')
  const host = mailbox.slice(at + 1)
  const baseAt = base.lastIndexOf('@')
  if (baseAt === -1) return hostWithin(host, base, wide)
  return mailbox.slice(0, Math.max(0, at)) === base.slice(0, baseAt) && hostWithin(host, base.slice(baseAt + 1), false)
}

/** The host of a URI without user information and port; empty if it has none. */
function hostOf(uri: string): string {
  const authority = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/([^/?#]*)/.exec(uri)?.[1] ?? ''
  return authority.slice(authority.lastIndexOf('@') + 1).replace(/:\d*$/, '')
}

function inRange(address: Uint8Array, range: Uint8Array): boolean {
  const half = range.length / 2
  return (
    address.length === half && address.every((octet, i) => ((octet ^ (range[i] ?? 0)) & (range[half + i] ?? 0)) === 0)
  )
}
