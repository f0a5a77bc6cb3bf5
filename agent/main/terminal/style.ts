import type { TextSink } from '../command.js'

const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
} as const

export type Colour = keyof typeof CODES

/** Applies styles to text, or leaves it unchanged. Escape external values by `printable` first. */
export type Style = { readonly [C in Colour]: (text: string) => string }

type StyleVariables = Readonly<Record<string, string | undefined>>

/**
 * Whether to use colours: only on a capable terminal, never with NO_COLOR, always with FORCE_COLOR (each if it is not
 * empty; FORCE_COLOR=0 means never).
 */
export function wantsColour(sink: Pick<TextSink, 'isTTY'>, env: StyleVariables): boolean {
  if (env['NO_COLOR']) return false
  if (env['FORCE_COLOR']) return env['FORCE_COLOR'] !== '0'
  return sink.isTTY === true && env['TERM'] !== 'dumb'
}

export function styleFor(sink: Pick<TextSink, 'isTTY'>, env: StyleVariables): Style {
  const painted = wantsColour(sink, env)
  const entries = Object.entries(CODES).map(([name, [on, off]]) => {
    const paint = (text: string) => (painted && text !== '' ? `\u001b[${on}m${text}\u001b[${off}m` : text)
    return [name, paint] as const
  })
  return Object.fromEntries(entries) as Style
}
