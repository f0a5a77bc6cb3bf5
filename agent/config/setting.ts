import * as z from 'zod'
import { formatDuration, parseDuration } from './duration.js'
import { type JsonSchema, written } from './form.js'
import { quote } from './problem.js'
import { formatSize, parseSize } from './size.js'

/** One setting: its type and its description, which docs/configuration.md repeats word for word. */
export interface Setting<T> {
  /** Parses the written text (a list for list settings) into the value; its description is the range, if it has one. */
  readonly parse: z.ZodType<T>
  /** As documented: `duration`, `path`, `` `json`, `console` ``. */
  readonly kind: string
  /** The text used if the setting is not written; null: there is none, and the value is derived (effective.ts) or null. */
  readonly default: string | null
  /** The documented default if `default` is null. */
  readonly defaultIs?: string
  /** Whether a reload puts a change into force, or only a restart does. */
  readonly reload: 'live' | 'restart'
  /** The description: meaning, unit if the type does not say it, and effect. */
  readonly what: string
  /** Set if the text is a path: relative ones are resolved. A socket may have the prefix `unix://`. */
  readonly path?: 'file' | 'socket'
  /** The value, and the variables that it was made of, must never be shown. */
  readonly secret?: true
}

/** A setting that always has a value. */
export function setting<T>(parse: z.ZodType<T>, rest: Omit<Setting<T>, 'parse'> & { default: string }): Setting<T> {
  return { parse, ...rest }
}

/** A setting that may have no value. */
export function optional<T>(
  parse: z.ZodType<T>,
  rest: Omit<Setting<T>, 'parse' | 'default'> & { defaultIs: string },
): Setting<T | null> {
  return { parse, default: null, ...rest }
}

/** Its type and range, as documented. */
export function typeOf({ kind, parse }: Setting<unknown>): string {
  return parse.description === undefined ? kind : `${kind}, ${parse.description}`
}

type RefusedText = readonly [problem: string, remedy: string]

/**
 * A type of text. `read` returns the value, or problem and remedy; the issue has the problem as its message and the
 * remedy as its parameter `remedy`.
 */
export function textual<T>(read: (text: string) => { value: T } | RefusedText): z.ZodType<T, string> {
  const text = z.string({ error: () => 'must be a single value, not a list' })
  return text.transform((written, context) => {
    const result = read(written)
    if ('value' in result) return result.value
    const [message, remedy] = result
    context.issues.push({ code: 'custom', message, params: { remedy }, input: undefined })
    return z.NEVER
  })
}

export const bool = () =>
  written(
    textual((text) => {
      if (/^(?:true|yes|on|1)$/i.test(text)) return { value: true }
      if (/^(?:false|no|off|0)$/i.test(text)) return { value: false }
      return [`is ${quote(text)}`, 'use true or false']
    }),
    {
      anyOf: [{ type: 'boolean' }, { enum: [0, 1] }, oneOfWords(['true', 'yes', 'on', '1', 'false', 'no', 'off', '0'])],
    },
  )

export const integer = (min: number, max: number) =>
  written(
    textual((text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
      return value >= min && value <= max
        ? { value }
        : [`is ${quote(text)}`, `use a whole number from ${min} to ${max}`]
    }).describe(`${min} to ${max}`),
    {
      anyOf: [
        { type: 'integer', minimum: min, maximum: max },
        { type: 'string', pattern: '^\\d{1,15}$' },
      ],
    },
  )

/** Milliseconds. `min` and `max` are written as durations. */
export const duration = (min: string, max: string, options: { plainSeconds?: boolean } = {}) =>
  written(
    textual((text) => {
      const value = parseDuration(text, options)
      const [least, most] = [parseDuration(min) ?? 0, parseDuration(max) ?? 0]
      if (value !== null && value >= least && value <= most) return { value }
      const example =
        options.plainSeconds === true ? 'seconds, or a duration such as 30s' : 'a duration such as 30s, 15m, 6h or 1d'
      const range = `from ${formatDuration(least)} to ${formatDuration(most)}`
      return [`is ${quote(text)}`, `use ${example}, ${range}`]
    }).describe(`${min} to ${max}`),
    options.plainSeconds === true
      ? {
          anyOf: [
            { type: 'number', minimum: 0 },
            { type: 'string', pattern: '^\\d+(\\.\\d+)?(ms|s|m|h|d)?$' },
          ],
        }
      : { type: 'string', pattern: '^\\d+(\\.\\d+)?(ms|s|m|h|d)$' },
    formatDuration,
  )

/** Bytes. */
export const size = (min: number, max: number) =>
  written(
    textual((text) => {
      const value = parseSize(text)
      if (value !== null && value >= min && value <= max) return { value }
      return [`is ${quote(text)}`, `use a size such as 64KiB or 512MiB, from ${formatSize(min)} to ${formatSize(max)}`]
    }).describe(`${formatSize(min)} to ${formatSize(max)}`),
    {
      anyOf: [
        { type: 'integer', minimum: min, maximum: max },
        { type: 'string', pattern: '^\\d{1,15} ?(B|KiB|MiB|GiB)?$' },
      ],
    },
    formatSize,
  )

/** One of a few words, in any case. */
export const choice = <const T extends string>(values: readonly T[], aliases: Readonly<Record<string, T>> = {}) =>
  written(
    textual((text) => {
      const word = text.toLowerCase()
      const meant = Object.hasOwn(aliases, word) ? aliases[word] : word
      const value = values.find((candidate) => candidate === meant)
      return value === undefined ? [`is ${quote(text)}`, `use ${orList(values)}`] : { value }
    }),
    { anyOf: [{ enum: values }, oneOfWords([...values, ...Object.keys(aliases)])] },
  )

/** A text that matches an expression. */
export const matching = (form: RegExp, remedy: string) =>
  textual((text) => (form.test(text) ? { value: text } : [`is ${quote(text)}`, remedy]))

/** An absolute path, already resolved and normalised. */
export const path = () =>
  textual((text) => {
    if (!text.startsWith('/')) return [`is ${quote(text)}, which is not an absolute path`, 'begin it with /']
    return text.endsWith('/') ? [`is ${quote(text)}, which names no file`, 'end it with a name'] : { value: text }
  })

/** A YAML list, or a text with commas. */
export const list = (form: RegExp, remedy: string): z.ZodType<readonly string[]> =>
  written(
    z
      .union([z.string().transform((text) => text.split(',')), z.array(z.string())], {
        error: () => 'must be a list of strings',
      })
      .transform((items, context) => {
        const values = items.map((item) => item.trim()).filter((item) => item !== '')
        const wrong = values.find((value) => !form.test(value))
        if (wrong === undefined) return [...new Set(values)]
        context.issues.push({ code: 'custom', message: `has ${quote(wrong)}`, params: { remedy }, input: undefined })
        return z.NEVER
      }),
    { anyOf: [{ type: 'array', items: { type: ['string', 'number', 'boolean'] } }, { type: 'string' }] },
  )

/** Schema for a few words in any case. */
function oneOfWords(words: readonly string[]): JsonSchema {
  const inAnyCase = (word: string) => word.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`)
  return { type: 'string', pattern: `^(${words.map(inAnyCase).join('|')})$` }
}

/** `` `a`, `b` or `c` `` without the backticks: `a, b or c`. */
function orList(values: readonly string[]): string {
  return values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`
}
