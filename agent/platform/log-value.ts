import { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import type { Fields } from '../observability/log.js'

const MAX_TEXT = 2048
const MAX_ITEMS = 50
const MAX_DEPTH = 5
const MAX_CAUSES = 5
/** Characters of all values of one line together. */
const MAX_LINE = 32_768

/** Keys of every line; a field of the same name would be a duplicate key. */
const RESERVED: ReadonlySet<string> = new Set(['event', 'level', 'severity', 'logger', 'app', 'timestamp'])

// The last protection, for texts from elsewhere (an error of a library, an answer of the server): anything that looks like
// a private key, a token or a credential is masked in every field.
const SECRET_LOOKING: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)*/g,
  /\bBearer\s+[\w.~+/=-]+/gi,
]

/**
 * Turns the fields of a log line into plain JSON values of bounded size: texts up to 2 KiB, 50 items a list, five
 * levels, 32 KiB a line. Secrets print as `[redacted]`, bytes as their number, bigints as decimal texts, errors as
 * `{code, message, causes, details}` (and the stack where `stacks`), objects of unknown classes as their name only.
 * Never throws.
 */
export function loggable(fields: Fields, options: { stacks: boolean }): Record<string, unknown> {
  const reducer = new Reducer(options.stacks)
  const line: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(fields)) {
    const plain = reducer.reduce(value, 0)
    if (plain !== undefined) line[RESERVED.has(key) ? `field_${key}` : key] = plain
  }
  return line
}

/** Masks what looks like a secret. */
export function masked(text: string): string {
  return SECRET_LOOKING.reduce((left, pattern) => left.replace(pattern, '[redacted]'), text)
}

/** Masks what looks like a secret and cuts what is too long. */
export function boundedText(text: string): string {
  // Searches only the part that can be printed, so that a body of megabytes costs no more than a sentence.
  const shown = masked(text.slice(0, 8 * MAX_TEXT))
  if (shown.length <= MAX_TEXT && text.length <= 8 * MAX_TEXT) return shown
  return `${shown.slice(0, MAX_TEXT)}… (${text.length} characters)`
}

class Reducer {
  #left = MAX_LINE
  readonly #stacks: boolean
  constructor(stacks: boolean) {
    this.#stacks = stacks
  }

  reduce(value: unknown, depth: number): unknown {
    if (this.#left <= 0) return '[cut]'
    try {
      return this.#reduce(value, depth)
    } catch {
      // A getter or toJSON of a foreign object threw; the line is logged without this value.
      return '[unreadable]'
    }
  }

  #reduce(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case 'string':
        return this.#text(value)
      case 'number':
        this.#left -= 8
        return Number.isFinite(value) ? value : String(value)
      case 'boolean':
        this.#left -= 5
        return value
      case 'bigint':
        return this.#text(value.toString())
      case 'object':
        return value === null ? null : this.#object(value, depth)
      case 'undefined':
        return undefined
      default:
        return `[${typeof value}]`
    }
  }

  #object(value: object, depth: number): unknown {
    if (value instanceof Secret) return '[redacted]'
    if (value instanceof Error) return this.#error(value, depth)
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'invalid date' : value.toISOString()
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`
    if (depth >= MAX_DEPTH) return '[deep]'
    if (Array.isArray(value) || value instanceof Set) return this.#list(value, depth)
    if (value instanceof Map) return this.#record([...value].slice(0, MAX_ITEMS + 1), value.size, depth)
    if ('toJSON' in value && typeof value.toJSON === 'function') return this.reduce(value.toJSON(), depth + 1)
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype === Object.prototype || prototype === null) {
      const entries = Object.entries(value)
      return this.#record(entries, entries.length, depth)
    }
    // An instance of a class may contain keys, so only the name of the class is printed.
    return `[${value.constructor?.name ?? 'object'}]`
  }

  #list(items: Iterable<unknown> & { readonly length?: number; readonly size?: number }, depth: number): unknown[] {
    const total = items.length ?? items.size ?? 0
    const shown: unknown[] = []
    for (const item of items) {
      if (shown.length === MAX_ITEMS || this.#left <= 0) {
        shown.push(`… (${total} items)`)
        break
      }
      shown.push(this.reduce(item, depth + 1) ?? null)
    }
    return shown
  }

  #record(entries: readonly (readonly [unknown, unknown])[], total: number, depth: number): Record<string, unknown> {
    const shown: [string, unknown][] = []
    for (const [key, value] of entries) {
      if (shown.length === MAX_ITEMS || this.#left <= 0) {
        shown.push(['…', `(${total} keys)`])
        break
      }
      const plain = this.reduce(value, depth + 1)
      if (plain !== undefined) shown.push([this.#text(String(key)), plain])
    }
    // fromEntries defines own keys, so that a key named __proto__ stays a key.
    return Object.fromEntries(shown)
  }

  #error(error: Error, depth: number): Record<string, unknown> {
    const causes = causesOf(error).map((cause) => this.#text([codeIn(cause), textOf(cause)].filter(Boolean).join(': ')))
    const details = error instanceof AgentError ? Object.entries(error.details) : []
    return {
      code: codeIn(error) ?? 'internal',
      message: this.#text(textOf(error)),
      ...(causes.length > 0 ? { causes } : {}),
      ...(details.length > 0 ? { details: this.#record(details, details.length, depth + 1) } : {}),
      ...(this.#stacks && error.stack !== undefined ? { stack: this.#text(error.stack) } : {}),
    }
  }

  #text(text: string): string {
    const shown = boundedText(text)
    this.#left -= shown.length
    return shown
  }
}

/** The chain of causes, and the members of an AggregateError, up to five. */
function causesOf(error: Error): unknown[] {
  const causes: unknown[] = []
  const waiting: unknown[] = nextOf(error)
  while (waiting.length > 0 && causes.length < MAX_CAUSES) {
    const cause = waiting.shift()
    causes.push(cause)
    waiting.push(...nextOf(cause))
  }
  return causes
}

function nextOf(error: unknown): unknown[] {
  if (!(error instanceof Error)) return []
  const members = error instanceof AggregateError ? error.errors.slice(0, MAX_CAUSES) : []
  return error.cause === undefined ? members : [...members, error.cause]
}

/** Our code or the system's (`ECONNREFUSED`); null if a library's error has none. */
function codeIn(error: unknown): string | null {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : null
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.name === 'Error' || error.name === 'AgentError' ? error.message : `${error.name}: ${error.message}`
}
