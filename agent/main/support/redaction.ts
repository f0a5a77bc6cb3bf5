import { Secret } from '../../crypto/secret.js'
import { masked } from '../../platform/log-value.js'

/** Shorter secrets are not searched, because they would mask ordinary text. */
const SHORTEST = 4

/**
 * The last check of data that leaves the machine: no part should contain a secret, but any that does is masked. Masks the
 * secrets of the configuration in all their written forms, and everything that looks like a key, a token or a credential.
 */
export class Redaction {
  readonly #known: readonly string[]

  /** `values`: values of settings, of which each `Secret` is masked. */
  constructor(values: readonly unknown[]) {
    const secrets = values.flatMap(textsOf)
    const forms = secrets.flatMap((text) => [text, JSON.stringify(text).slice(1, -1), encodeURIComponent(text)])
    // Longer ones first, because one may contain another.
    this.#known = [...new Set(forms)].filter(({ length }) => length >= SHORTEST).sort((a, b) => b.length - a.length)
  }

  apply(text: string): string {
    return masked(this.#known.reduce((left, secret) => left.replaceAll(secret, '[redacted]'), text))
  }
}

function textsOf(value: unknown): readonly string[] {
  if (!(value instanceof Secret)) return []
  return textsIn(value.reveal())
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value, ...passwordOf(value)]
  if (value instanceof URL) return textsIn(value.href)
  if (value instanceof Uint8Array) {
    const bytes = Buffer.from(value)
    return [bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('hex'), bytes.toString('latin1')]
  }
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(textsIn)
  return []
}

/** The forms of a secret; for an address with credentials also its password alone. */
function passwordOf(text: string): readonly string[] {
  const password = URL.canParse(text) ? new URL(text).password : ''
  if (password === '') return []
  try {
    return [password, decodeURIComponent(password)]
  } catch {
    return [password]
  }
}
