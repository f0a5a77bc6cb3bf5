import { AgentError } from '../errors.js'

const SCHEME = 'spiffe://'
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/
const SEGMENT = /^[a-zA-Z0-9._-]+$/
const MAX_BYTES = 2048

/**
 * A SPIFFE ID, valid by construction (SPIFFE-ID 2). Only `parse` creates one; it is strict: lower-case scheme and
 * trust domain, no percent-encoding, no empty, `.` or `..` segment, no trailing slash, at most 2048 bytes.
 */
export class SpiffeId {
  private constructor(
    /** The whole ID, `spiffe://trust.domain/path`. */
    readonly uri: string,
    readonly trustDomain: string,
    /** Empty, or begins with a slash. */
    readonly path: string,
  ) {}

  /** Throws `spiffe_id.invalid`. Never uses URL, which would normalise. */
  static parse(text: string): SpiffeId {
    const id = SpiffeId.tryParse(text)
    if (typeof id === 'string') throw new AgentError('spiffe_id.invalid', `not a SPIFFE ID: ${id}`)
    return id
  }

  /** The ID, or why the text is not one (without quoting it). */
  static tryParse(text: string): SpiffeId | string {
    if (text.length > MAX_BYTES) return `it is longer than ${MAX_BYTES} bytes`
    if (!text.startsWith(SCHEME)) return 'it does not begin with spiffe://'
    const rest = text.slice(SCHEME.length)
    const slash = rest.indexOf('/')
    const trustDomain = slash === -1 ? rest : rest.slice(0, slash)
    const path = slash === -1 ? '' : rest.slice(slash)
    if (trustDomain === '') return 'the trust domain is missing'
    if (!TRUST_DOMAIN.test(trustDomain)) {
      return 'the trust domain may hold only a-z, 0-9, dot, dash and underscore, at most 255'
    }
    for (const segment of path === '' ? [] : path.slice(1).split('/')) {
      if (segment === '') return 'the path has an empty segment or a trailing slash'
      if (segment === '.' || segment === '..') return 'the path has a relative segment'
      if (!SEGMENT.test(segment)) return 'a path segment may hold only a-z, A-Z, 0-9, dot, dash and underscore'
    }
    return new SpiffeId(text, trustDomain, path)
  }

  /** The SPIFFE ID of a trust domain itself. Throws `spiffe_id.invalid`. */
  static ofTrustDomain(trustDomain: string): SpiffeId {
    return SpiffeId.parse(SCHEME + trustDomain)
  }

  equals(other: SpiffeId): boolean {
    return this.uri === other.uri
  }

  toString(): string {
    return this.uri
  }

  toJSON(): string {
    return this.uri
  }
}
