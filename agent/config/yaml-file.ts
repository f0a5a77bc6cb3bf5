import { Composer, type Document, Lexer, LineCounter, Parser } from 'yaml'
import { foreignFormat } from './foreign-format.js'
import type { Environment } from './placeholders.js'
import type { Problem } from './problem.js'
import { emptySection, type Section } from './tree.js'
import { explainYamlError } from './yaml-errors.js'
import { YamlWalk } from './yaml-walk.js'

/**
 * Limit of the parser's work. A file that is not a configuration (a dump, a log) must be refused without ending the agent:
 * for 64 KiB of `- ` the composer runs out of memory. A token counts one, and one more for each four characters of it,
 * because every second character may be a parse error. Real files need a few thousand.
 */
const MAX_WORK = 50_000
/** Checked before the composer, which makes an error object of each; there may be a hundred thousand. */
const BAD_ESCAPE = /\\(?:[^0abt\tnevfr "/\\N_LPxuU\r\n]|x(?![\da-fA-F]{2})|u(?![\da-fA-F]{4})|U(?![\da-fA-F]{8}))/
const MAX_PARSER_DEPTH = 64
const MAX_ERRORS = 10

export interface YamlFile {
  readonly tree: Section
  readonly problems: readonly Problem[]
  /** False if the tree is empty because the file is not YAML: then no setting is reported as missing. */
  readonly complete: boolean
}

/** Parses a configuration file into a tree. Throws for no content, and takes bounded time for any. */
export function parseYamlFile(content: Buffer, path: string, env: Environment): YamlFile {
  const fail = (line: number | null, problem: string, remedy: string): YamlFile => ({
    tree: emptySection(path),
    problems: [{ key: '(file)', source: line === null ? path : `${path}:${line}`, problem, remedy }],
    complete: false,
  })
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return fail(null, 'is not UTF-8 text', 'save it as UTF-8')
  }
  if (text.includes('\0')) return fail(null, 'holds NUL characters', 'save it as UTF-8')
  const foreign = foreignFormat(text)
  if (foreign) {
    const remedy = 'begin with `agent:` and indent its settings below it; docs/configuration.md lists all'
    return fail(foreign.line + 1, foreign.problem, remedy)
  }
  const lines = new LineCounter()
  const lineOf = (offset: number) => lines.linePos(offset).line
  const composed = compose(text, lines)
  if (composed === 'too deep') return fail(null, ...explainYamlError('RESOURCE_EXHAUSTION'))
  if (composed === 'too long') return fail(null, 'is too long for a configuration', 'keep what the settings need')
  if (typeof composed === 'number') return fail(lineOf(composed), ...explainYamlError('BAD_DQ_ESCAPE'))
  const [document, second] = composed
  if (document === undefined) return { tree: emptySection(path), problems: [], complete: true }
  if (second !== undefined) return fail(lineOf(second.range[0]), ...explainYamlError('MULTIPLE_DOCS'))
  const problems = new Map<string, Problem>()
  for (const error of document.errors) {
    const [problem, remedy] = explainYamlError(error.code)
    const source = `${path}:${lineOf(error.pos[0])}`
    // One mistake causes several errors, so only the first of a line is reported.
    if (!problems.has(source)) problems.set(source, { key: '(file)', source, problem, remedy })
    if (problems.size >= MAX_ERRORS) break
  }
  if (problems.size > 0) return { tree: emptySection(path), problems: [...problems.values()], complete: false }
  return new YamlWalk(lines, path, env).read(document)
}

/**
 * The documents, or why there are none; a number is the offset of a text with a bad escape. The composer is recursive, so
 * the parser, which is not, measures depth and length first.
 */
function compose(text: string, lines: LineCounter): readonly Document.Parsed[] | 'too deep' | 'too long' | number {
  const parser = new Parser(lines.addNewLine)
  lines.addNewLine(0)
  const tokens = []
  let work = 0
  for (const lexeme of new Lexer().lex(text)) {
    if (lexeme.startsWith('"') && BAD_ESCAPE.test(lexeme.replaceAll('\\\\', ''))) return parser.offset
    for (const token of parser.next(lexeme)) tokens.push(token)
    if (parser.stack.length > MAX_PARSER_DEPTH) return 'too deep'
    if (!lexeme.startsWith('#')) work += 1 + (lexeme.length >> 2)
    if (work > MAX_WORK) return 'too long'
  }
  tokens.push(...parser.end())
  // Failsafe: every scalar stays text. The composer's check of unique keys is quadratic; YamlWalk has its own.
  const composer = new Composer({ schema: 'failsafe', uniqueKeys: false, prettyErrors: false })
  return [...composer.compose(tokens, false, text.length)]
}
