import { parseArgs } from 'node:util'
import { parseDuration } from '../config/duration.js'
import { nearestKey } from '../config/nearest-key.js'
import { AgentError } from '../errors.js'

/** The options that a command takes, by their long names. */
export type OptionTable = Readonly<Record<string, OptionKind>>

interface OptionKind {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  /** May be given several times; every value is used. */
  readonly several?: boolean
}

export type OptionValues<T extends OptionTable> = {
  readonly [K in keyof T]?: T[K]['type'] extends 'boolean'
    ? boolean
    : T[K] extends { readonly several: true }
      ? readonly string[]
      : string
}

export interface Arguments<T extends OptionTable> {
  readonly options: OptionValues<T>
  readonly positionals: readonly string[]
}

/**
 * Reads `--name value`, `--name=value`, `-n value` and what stands alone. Throws `command.misused` for an option that
 * there is not (naming the nearest), one that is given twice, a value that is missing or empty, a value too many.
 */
export function readArguments<T extends OptionTable>(
  args: readonly string[],
  table: T,
  maxPositionals = 0,
): Arguments<T> {
  const { tokens } = parseArgs({ args: [...args], options: table, strict: false, tokens: true })
  const values: Record<string, string | boolean | readonly string[]> = {}
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const option = Object.hasOwn(table, token.name) ? table[token.name] : undefined
    if (!option) throw unknownOption(token.rawName, token.name, table)
    if (!option.several && Object.hasOwn(values, token.name))
      throw misused(`--${token.name} is given twice; give it once`)
    if (option.type === 'boolean') values[token.name] = flag(token)
    else if (option.several) values[token.name] = [...[values[token.name] ?? []].flat().map(String), text(token)]
    else values[token.name] = text(token)
  }
  if (positionals.includes('')) throw misused('an argument is empty; is a variable of the shell not set?')
  if (positionals.length > maxPositionals) throw misused(`unexpected argument ${quoted(positionals[maxPositionals])}`)
  return { options: values as OptionValues<T>, positionals }
}

interface OptionToken {
  readonly rawName: string
  readonly value?: string | undefined
  readonly inlineValue?: boolean | undefined
}

function flag({ rawName, value }: OptionToken): boolean {
  if (value !== undefined) throw misused(`${rawName} takes no value`)
  return true
}

function text({ rawName, value, inlineValue }: OptionToken): string {
  if (value === undefined || value === '') throw misused(`${rawName} needs a value`)
  // `--config --verbose` is probably a forgotten value, not a file of that name.
  if (inlineValue !== true && value.length > 1 && value.startsWith('-')) {
    throw misused(`${rawName} needs a value; write ${rawName}=${value} if the value begins with a dash`)
  }
  return value
}

/** One of the words that an option allows. Throws `command.misused`. */
export function choice<T extends string>(value: string | undefined, words: readonly [T, ...T[]], option: string): T {
  if (value === undefined) return words[0]
  const found = words.find((word) => word === value)
  if (found === undefined) throw misused(`${option} must be ${words.join(' or ')}, not ${quoted(value)}`)
  return found
}

/** A duration in milliseconds (`5s`, `2m`; a plain number counts seconds). Throws `command.misused`. */
export function duration(value: string | undefined, standard: number, option: string): number {
  if (value === undefined) return standard
  const ms = parseDuration(value, { plainSeconds: true })
  if (ms === null || ms <= 0) throw misused(`${option} must be a duration such as 5s or 2m, not ${quoted(value)}`)
  return ms
}

/** A whole number in decimal digits. Throws `command.misused`. */
export function wholeNumber(text: string, [least, most]: readonly [number, number], option: string): number {
  const number = Number(text)
  if (/^\d{1,15}$/.test(text) && number >= least && number <= most) return number
  throw misused(`${option} must be a number from ${least} to ${most}, not ${quoted(text)}`)
}

export function misused(message: string, cause?: unknown): AgentError {
  return new AgentError('command.misused', message, { cause })
}

export function quoted(text: string | undefined): string {
  return JSON.stringify(text ?? '')
}

function unknownOption(raw: string, name: string, table: OptionTable): AgentError {
  const nearest = nearestKey(name, Object.keys(table))
  return misused(`there is no option ${quoted(raw)}${nearest === null ? '' : `; did you mean --${nearest}?`}`)
}
