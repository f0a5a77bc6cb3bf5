/** What a field of a log line holds. */
export interface FieldKinds {
  text: string
  texts: readonly string[]
  number: number
  'number or null': number | null
  /** ISO 8601, UTC. */
  time: string
  object: object
  objects: readonly object[]
  /** Any thrown value; the line has `{code, message, causes, details}`. */
  error: unknown
}

/** By name; a name that ends in `?` is not in every line. */
type FieldTable = Readonly<Record<string, keyof FieldKinds>>

/** `x, then y`: at level x the first time, and at level y while it repeats. */
type LevelNames =
  | 'debug'
  | 'info'
  | 'warning'
  | 'error'
  | `${'info' | 'warning' | 'error'}, then debug`
  | 'warning, then info'

interface LineBase {
  readonly fields: FieldTable
  /** Named under "Lines to look for" of docs/logs.md. */
  readonly lookFor?: true
}

/** One log line, for docs/logs.md: what it means, and what to do about it. */
export type LineSpec =
  | (LineBase & {
      readonly level: 'debug' | 'info' | 'info, then debug'
      readonly means: string
      readonly todo?: string
    })
  | (LineBase & {
      readonly level: Exclude<LevelNames, 'debug' | 'info' | 'info, then debug'>
      readonly means: string
      readonly todo: string
    })
  /** Logged when the condition of another line is over. */
  | (LineBase & { readonly level: 'info'; readonly ends: string })

/** Log lines by their constant text. */
export type LineTable = Readonly<Record<string, LineSpec>>

/** Fields of a line that says that a repeated failure is over. */
export const SPELL = { after_seconds: 'number', failures: 'number' } as const
