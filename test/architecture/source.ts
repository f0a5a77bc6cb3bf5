/** One import of a source file. */
export interface Import {
  /** As written: `../errors.js`, `node:fs`, `@grpc/grpc-js`. */
  readonly specifier: string
  readonly kind: 'static' | 'dynamic' | 'type'
  readonly line: number
}

/** A source file taken apart: its code without comments and texts, its comments, its imports. */
export interface Source {
  readonly path: string
  /** Comments and the content of texts and regular expressions are blanks; lines stay where they were. */
  readonly code: string
  readonly comments: string
  readonly imports: readonly Import[]
  readonly lines: number
}

const STATIC = /^[ \t]*(import|export)\s+(type\s)?(?:[\w$*{}\s,]*?\sfrom\s*)?(['"])([^'"\n]+)\3/gm
const DYNAMIC = /\b(?:import|require|getBuiltinModule)\(\s*(['"])([^'"\n]+)\1\s*[,)]/g

/** Takes a TypeScript file apart. It knows texts, templates, regular expressions and comments, nothing else. */
export function parseSource(path: string, text: string): Source {
  const { code, comments, uncommented } = separate(text)
  const imports: Import[] = []
  const lineAt = (index: number) => text.slice(0, index).split('\n').length
  for (const match of uncommented.matchAll(STATIC)) {
    imports.push({ specifier: match[4] ?? '', kind: match[2] ? 'type' : 'static', line: lineAt(match.index) })
  }
  for (const match of uncommented.matchAll(DYNAMIC)) {
    // `typeof import('x')` is a type; so is `import('x').Name` in one, which nobody writes here.
    const type = /typeof\s*$/.test(uncommented.slice(0, match.index))
    imports.push({ specifier: match[2] ?? '', kind: type ? 'type' : 'dynamic', line: lineAt(match.index) })
  }
  return { path, code, comments, imports, lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0) }
}

type Kind = 'code' | 'text' | 'comment'

/** Splits a text into code, texts and comments, each with the rest blanked. */
function separate(text: string): { code: string; comments: string; uncommented: string } {
  const kinds: Kind[] = new Array(text.length).fill('code')
  const mark = (from: number, to: number, kind: Kind) => kinds.fill(kind, from, to)
  /** Depths of braces at which a template's `${` was opened. */
  const templates: number[] = []
  let depth = 0
  let last = ''
  for (let i = 0; i < text.length; ) {
    const two = text.slice(i, i + 2)
    const one = text[i] ?? ''
    if (two === '//') i = step(i, endOf(text, i, '\n'), 'comment')
    else if (two === '/*') i = step(i, endOf(text, i + 2, '*/') + 2, 'comment')
    else if (one === "'" || one === '"') i = step(i + 1, closing(text, i + 1, one), 'text') + 1
    else if (one === '`') i = template(i + 1)
    else if (one === '/' && startsRegExp(last)) i = step(i + 1, closing(text, i + 1, '/'), 'text') + 1
    else if (one === '}' && templates.at(-1) === depth) {
      templates.pop()
      i = template(i + 1)
    } else {
      if (one === '{') depth++
      if (one === '}') depth--
      if (/\S/.test(one))
        last = /[\w$]/.test(one) && /[\w$]$/.test(last) && /[\w$]/.test(text[i - 1] ?? '') ? last + one : one
      i++
      continue
    }
    if (kinds[i - 1] !== 'comment') last = 'text'
  }
  return {
    code: keep(text, kinds, ['code']),
    comments: keep(text, kinds, ['comment']),
    uncommented: keep(text, kinds, ['code', 'text']),
  }

  function step(from: number, to: number, kind: Kind): number {
    mark(from, to, kind)
    return to
  }
  function template(from: number): number {
    let i = from
    while (i < text.length && text[i] !== '`' && text.slice(i, i + 2) !== '${') i += text[i] === '\\' ? 2 : 1
    mark(from, i, 'text')
    if (text[i] === '`') return i + 1
    templates.push(depth)
    return i + 2
  }
}

function startsRegExp(last: string): boolean {
  return last === '' || /^[(,=:[!&|?{;+\-*%<>~^]$/.test(last) || /^(return|typeof|case|in|of|yield|await)$/.test(last)
}

function endOf(text: string, from: number, what: string): number {
  const index = text.indexOf(what, from)
  return index === -1 ? text.length : index
}

/** The index of the closing mark; in a regular expression one inside brackets does not close. */
function closing(text: string, from: number, mark: string): number {
  let bracket = false
  let i = from
  for (; i < text.length && text[i] !== '\n'; i++) {
    const one = text[i]
    if (one === '\\') i++
    else if (mark === '/' && one === '[') bracket = true
    else if (mark === '/' && one === ']') bracket = false
    else if (one === mark && !bracket) break
  }
  return i
}

function keep(text: string, kinds: readonly Kind[], wanted: readonly Kind[]): string {
  let kept = ''
  for (let i = 0; i < text.length; i++) {
    const one = text[i] ?? ''
    kept += one === '\n' || wanted.includes(kinds[i] ?? 'code') ? one : ' '
  }
  return kept
}
