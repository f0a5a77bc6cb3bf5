import type { ErrorCode } from 'yaml'

/**
 * Problem and remedy by the YAML parser's error code. The parser's own messages are not used: some quote the text,
 * which may be a secret.
 */
const ERRORS: Partial<Record<ErrorCode, readonly [problem: string, remedy: string]>> = {
  BAD_INDENT: ['has an indentation that matches no line above it', 'align it with its neighbours'],
  TAB_AS_INDENT: ['is indented with a tab', 'indent with spaces'],
  MISSING_CHAR: ['lacks a character: a closing quote, bracket or a colon', 'complete the value here or just above'],
  BLOCK_AS_IMPLICIT_KEY: ['has a second colon on the line', 'put the value in quotes, or begin a new line'],
  UNEXPECTED_TOKEN: ['has something where nothing may follow', 'put values with { } [ ] , # or : in quotes'],
  BAD_SCALAR_START: ['begins with a character that YAML reserves', 'put the value in quotes'],
  BAD_DQ_ESCAPE: ['has an unknown escape within double quotes', 'use single quotes, or double the backslash'],
  MULTIPLE_DOCS: ['begins a second document (---)', 'keep the configuration in one document'],
  MULTILINE_IMPLICIT_KEY: ['has a key that spans lines', 'put a colon and a space after the key'],
  KEY_OVER_1024_CHARS: ['has a key of more than 1024 characters', 'check for a missing colon or line break'],
  TAG_RESOLVE_FAILED: ['has an unknown tag (!…)', 'remove the tag, or put the value in quotes'],
  RESOURCE_EXHAUSTION: ['is nested too deeply', 'the deepest setting lies three levels deep'],
}

export function explainYamlError(code: ErrorCode): readonly [problem: string, remedy: string] {
  return ERRORS[code] ?? [`is not YAML (${code.toLowerCase()})`, 'correct the syntax; quotes around values often help']
}
