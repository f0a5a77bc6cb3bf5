/** The result of expanding a text. */
export interface Expanded {
  readonly text: string
  /** Every variable that was read, whether it is set or not. */
  readonly variables: readonly string[]
  /** Those of them that have neither a value nor a default. If there is one, the text must not be used. */
  readonly unresolved: readonly string[]
  /** What is wrong with the placeholders themselves, or null. */
  readonly malformed: string | null
}

export type Environment = Readonly<Record<string, string | undefined>>

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y
const MAX_DEPTH = 8
const MAX_LENGTH = 64 * 1024

/**
 * Replaces `${NAME}` and `${NAME:-default}` as a shell does: the default also applies if the variable is set but empty,
 * and may contain placeholders. The value of a variable is not expanded again. `$${` becomes a literal `${`; any other
 * dollar sign is kept. Never throws.
 */
export function expand(text: string, env: Environment): Expanded {
  const expansion = new Expansion(text, env)
  const result = expansion.run(0)
  const malformed = expansion.malformed ?? (result.length > MAX_LENGTH ? 'expands to more than 64 KiB' : null)
  return {
    text: malformed === null ? result : '',
    variables: [...expansion.variables],
    unresolved: [...expansion.unresolved],
    malformed,
  }
}

class Expansion {
  readonly variables = new Set<string>()
  readonly unresolved = new Set<string>()
  malformed: string | null = null
  readonly #text: string
  readonly #env: Environment
  #at = 0
  /** Above 0 within an unused default: it must be well formed, but its variables need not be set. */
  #unused = 0

  constructor(text: string, env: Environment) {
    this.#text = text
    this.#env = env
  }

  /** Expands up to the end of the text or, within a default, up to the brace that closes it. */
  run(depth: number): string {
    let out = ''
    while (this.#at < this.#text.length && this.malformed === null) {
      if (depth > 0 && this.#text[this.#at] === '}') return out
      if (this.#text.startsWith('$${', this.#at)) {
        out += '${'
        this.#at += 3
      } else if (this.#text.startsWith('${', this.#at)) {
        this.#at += 2
        out += this.#placeholder(depth + 1)
      } else out += this.#text[this.#at++]
    }
    if (depth > 0) this.malformed ??= 'has a placeholder that is not closed with }'
    return out
  }

  #placeholder(depth: number): string {
    NAME.lastIndex = this.#at
    const name = NAME.exec(this.#text)?.[0]
    if (name === undefined) return this.#fail('has a placeholder without the name of a variable')
    if (depth > MAX_DEPTH) return this.#fail('has placeholders that are nested too deeply')
    this.#at += name.length
    const value = Object.hasOwn(this.#env, name) ? this.#env[name] : undefined
    if (this.#unused === 0) this.variables.add(name)
    if (this.#text[this.#at] === '}') {
      this.#at++
      if (value === undefined && this.#unused === 0) this.unresolved.add(name)
      return value ?? ''
    }
    if (!this.#text.startsWith(':-', this.#at)) {
      return this.#fail(`has a placeholder for ${name} that is neither \${${name}} nor \${${name}:-default}`)
    }
    this.#at += 2
    const set = value !== undefined && value !== ''
    if (set) this.#unused++
    const fallback = this.run(depth)
    if (set) this.#unused--
    this.#at++
    return set ? value : fallback
  }

  #fail(what: string): string {
    this.malformed ??= what
    return ''
  }
}
