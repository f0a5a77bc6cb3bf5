import { Secret } from '../../crypto/secret.js'
import { masked } from '../../platform/log-value.js'

/** Shorter ones would blacken what is no secret. */
const SHORTEST = 4

/**
 * The last look at what leaves the machine: nothing of it should hold a secret, and what does all the same is masked. Known
 * secrets are those of the configuration, in the forms in which they are written; beside these everything that looks
 * like a key, a token or a credential.
 */
export class Redaction {
  readonly #known: readonly string[]

  /** `values`: of settings; those that are a `Secret` count. */
  constructor(values: readonly unknown[]) {
    const secrets = values.flatMap(textsOf)
    const forms = secrets.flatMap((text) => [text, JSON.stringify(text).slice(1, -1), encodeURIComponent(text)])
    // Longer ones first: one may be a part of another.
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

/** Of an address with credentials also the password alone, as it is sent. */
function passwordOf(text: string): readonly string[] {
  const password = URL.canParse(text) ? new URL(text).password : ''
  if (password === '') return []
  try {
    return [password, decodeURIComponent(password)]
  } catch {
    return [password]
  }
}
