/** An option of a help text. */
export interface ShownOption {
  /** `-o`, if there is one. */
  readonly short: string | null
  /** `--output` */
  readonly long: string
  /** The name of its value (`FORMAT`); null: it takes none. */
  readonly value: string | null
  /** On one line. */
  readonly text: string
}

/** A part between two empty lines, or below a heading. */
export type HelpPart =
  | { readonly kind: 'prose'; readonly text: string }
  | { readonly kind: 'literal'; readonly lines: readonly string[] }
  | { readonly kind: 'options'; readonly options: readonly ShownOption[] }

/** A parsed help text of a command. */
export interface HelpText {
  /** The lines after `Usage:`, without `icp-agent`. */
  readonly usage: readonly string[]
  /** The parts in order, without those below `Example:` and `Exit codes:`. */
  readonly parts: readonly HelpPart[]
  readonly exitCodes: string
  readonly examples: readonly string[]
}

const OPTION = /^ {2,4}(?:(-[a-zA-Z]), )?(--[a-z][a-z0-9-]*)(?:[ =](\S+(?: \S+)*?))?(?: {2,}(\S.*))?$/

/** Parses a help text; completion and man pages are generated from the result. */
export function readHelp(help: string): HelpText {
  const usage: string[] = []
  const parts: HelpPart[] = []
  const exitCodes: string[] = []
  const examples: string[] = []
  for (const block of help.trimEnd().split(/\n{2,}/)) {
    const lines = block.split('\n')
    const first = lines[0] ?? ''
    if (first.startsWith('Usage: ')) usage.push(...usageLines(lines))
    else if (first.startsWith('Exit codes: ')) exitCodes.push(lines.join(' ').slice('Exit codes: '.length))
    else if (/^Examples?:$/.test(first)) examples.push(...lines.slice(1).map((line) => line.replace(/^ {2}/, '')))
    else parts.push(...partsOf(first === 'Options:' ? lines.slice(1) : lines))
  }
  return { usage, parts, exitCodes: exitCodes.join(' '), examples }
}

export function optionsOf({ parts }: HelpText): readonly ShownOption[] {
  return parts.flatMap((part) => (part.kind === 'options' ? part.options : []))
}

function usageLines(lines: readonly string[]): readonly string[] {
  return lines.map((line) => line.replace(/^(?:Usage: | +)(?:icp-agent ?)?/, ''))
}

/** A line further to the right than an option continues its text; any other indented line is literal. */
function partsOf(lines: readonly string[]): readonly HelpPart[] {
  const parts: HelpPart[] = []
  for (const line of lines) {
    const last = parts.at(-1)
    const option = optionOf(line)
    if (option) {
      if (last?.kind === 'options') parts.splice(-1, 1, { kind: 'options', options: [...last.options, option] })
      else parts.push({ kind: 'options', options: [option] })
    } else if (last?.kind === 'options' && /^ {5}/.test(line)) {
      parts.splice(-1, 1, { kind: 'options', options: continued(last.options, line.trim()) })
    } else if (line.startsWith('  ')) {
      const before = last?.kind === 'literal' ? [...last.lines] : []
      if (before.length > 0) parts.pop()
      parts.push({ kind: 'literal', lines: [...before, line.slice(2)] })
    } else {
      const before = last?.kind === 'prose' ? `${last.text} ` : ''
      if (before !== '') parts.pop()
      parts.push({ kind: 'prose', text: `${before}${line}` })
    }
  }
  return parts
}

function optionOf(line: string): ShownOption | null {
  const match = OPTION.exec(line)
  if (!match) return null
  const [, short, long = '', value, text] = match
  return { short: short ?? null, long, value: value ?? null, text: text ?? '' }
}

function continued(options: readonly ShownOption[], more: string): readonly ShownOption[] {
  const last = options.at(-1)
  return last ? [...options.slice(0, -1), { ...last, text: `${last.text} ${more}`.trim() }] : options
}
