/** A value of a flat HCL file. Numbers stay texts, because the reader must interpret `0644`. */
export type HclValue =
  | { readonly kind: 'string' | 'number' | 'bool'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly HclValue[] }
  | { readonly kind: 'object'; readonly entries: readonly HclEntry[] }

export interface HclEntry {
  readonly key: string
  readonly value: HclValue
  readonly line: number
}

/** A problem of a text, and its line. */
export class HclError extends Error {
  override readonly name = 'HclError'
  constructor(
    readonly line: number,
    message: string,
  ) {
    super(message)
  }
}

interface Token {
  readonly kind: 'word' | 'string' | 'sign' | 'end'
  readonly text: string
  readonly line: number
}

const MAX_DEPTH = 8
const WORD = /[A-Za-z0-9_.+-]/
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '"': '"', '\\': '\\' }

/**
 * The part of HCL that flat configurations are written in: `key = value` with strings, numbers, booleans, lists and
 * objects, blocks without labels, and comments. Throws HclError for everything else.
 */
export function parseHcl(text: string): readonly HclEntry[] {
  const reader = new HclReader([...tokens(text)])
  const entries = reader.entries(0)
  reader.expectEnd()
  return entries
}

class HclReader {
  #at = 0
  constructor(private readonly tokens: readonly Token[]) {}

  entries(depth: number): readonly HclEntry[] {
    const entries: HclEntry[] = []
    for (;;) {
      while (this.#is(',')) this.#at++
      const token = this.#peek()
      if (token.kind === 'end' || this.#is('}')) return entries
      if (token.kind !== 'word' && token.kind !== 'string') throw new HclError(token.line, 'a key is missing')
      this.#at++
      const block = this.#is('{')
      if (!block) this.#take('=', `after the key ${token.text}`)
      entries.push({ key: token.text, value: this.#value(depth + 1), line: token.line })
    }
  }

  expectEnd(): void {
    const { kind, line, text } = this.#peek()
    if (kind !== 'end') throw new HclError(line, `there is an unmatched ${text}`)
  }

  #value(depth: number): HclValue {
    const token = this.#peek()
    if (depth > MAX_DEPTH) throw new HclError(token.line, 'it is nested too deeply')
    this.#at++
    if (token.kind === 'string') return { kind: 'string', text: token.text }
    if (token.kind === 'word') return scalar(token)
    if (token.text === '{') {
      const entries = this.entries(depth)
      this.#take('}', 'at the end of an object')
      return { kind: 'object', entries }
    }
    if (token.text !== '[') throw new HclError(token.line, 'a value is missing')
    const items: HclValue[] = []
    while (!this.#is(']')) {
      items.push(this.#value(depth + 1))
      if (!this.#is(']')) this.#take(',', 'between the values of a list')
    }
    this.#at++
    return { kind: 'list', items }
  }

  #take(sign: string, where: string): void {
    if (!this.#is(sign)) throw new HclError(this.#peek().line, `a ${sign} is missing ${where}`)
    this.#at++
  }

  #is(sign: string): boolean {
    const { kind, text } = this.#peek()
    return kind === 'sign' && text === sign
  }

  #peek(): Token {
    const token = this.tokens[this.#at] ?? this.tokens.at(-1)
    if (!token) throw new TypeError('the last token is the end')
    return token
  }
}

function scalar({ text, line }: Token): HclValue {
  if (text === 'true' || text === 'false') return { kind: 'bool', text }
  if (/^-?\d+$/.test(text)) return { kind: 'number', text }
  throw new HclError(line, `the text ${text} must be in double quotes`)
}

function* tokens(text: string): Generator<Token> {
  let line = 1
  let at = 0
  const token = (kind: Token['kind'], value: string): Token => ({ kind, text: value, line })
  while (at < text.length) {
    const character = text.charAt(at)
    if (/\s|\ufeff/.test(character)) {
      if (character === '\n') line++
      at++
    } else if (character === '#' || text.startsWith('//', at)) {
      const end = text.indexOf('\n', at)
      at = end === -1 ? text.length : end
    } else if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2)
      if (end === -1) throw new HclError(line, 'a comment does not end')
      line += text.slice(at, end).split('\n').length - 1
      at = end + 2
    } else if (character === '"') {
      const [value, end] = quoted(text, at, line)
      yield token('string', value)
      at = end
    } else if ('={}[],'.includes(character)) {
      yield token('sign', character)
      at++
    } else {
      const end = endOfWord(text, at)
      if (end === at) throw new HclError(line, `the character ${JSON.stringify(character)} has no meaning here`)
      yield token('word', text.slice(at, end))
      at = end
    }
  }
  yield token('end', 'end')
}

function endOfWord(text: string, from: number): number {
  let at = from
  while (at < text.length && WORD.test(text.charAt(at))) at++
  return at
}

function quoted(text: string, from: number, line: number): readonly [string, number] {
  let value = ''
  for (let at = from + 1; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '"') return [value, at + 1]
    if (character === '\n') break
    if (character !== '\\') {
      value += character
      continue
    }
    const meant = ESCAPES[text.charAt(++at)]
    if (meant === undefined) throw new HclError(line, 'a backslash is before a character that needs no escape')
    value += meant
  }
  throw new HclError(line, 'a text between quotes does not end in its line')
}
