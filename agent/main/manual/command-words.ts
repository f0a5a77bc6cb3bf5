import type { ListedCommand } from '../command-table.js'
import { type HelpText, optionsOf, readHelp, type ShownOption } from './help-text.js'

/** What a shell can offer for a word. */
export type Offer =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'files' | 'directories' | 'nothing' }
  /** Another command line, after the `--` of `exec`. */
  | { readonly kind: 'command' }

export interface OfferedOption extends ShownOption {
  /** Completion of its value; null: it takes none. */
  readonly offer: Offer | null
}

/** A command, or a group of commands (`api fetch`), as a shell completes it. */
export interface CommandWords {
  /** `api fetch x509`; empty for the top level. */
  readonly name: string
  /** The next words of longer commands. */
  readonly next: readonly { readonly word: string; readonly text: string }[]
  readonly options: readonly OfferedOption[]
  /** Completion of positional arguments. */
  readonly alone: Offer
}

const HELP: OfferedOption = {
  ...{ short: '-h', long: '--help', value: null, text: 'Explain it, with an example.' },
  offer: null,
}
const VERSION: OfferedOption = {
  ...{ short: '-v', long: '--version', value: null, text: 'Print the version.' },
  offer: null,
}

/** Every command and group, from the table of commands and the help of each. Without a command, `run` takes the options. */
export async function commandWords(commands: readonly ListedCommand[]): Promise<readonly CommandWords[]> {
  const names = new Set(commands.flatMap(({ name }) => prefixes(name)))
  return await Promise.all(
    ['', ...names].map(async (name) => {
      const command = commands.find((listed) => listed.name === (name || 'run'))
      const help = command ? readHelp((await command.load()).help) : null
      const options = help ? optionsOf(help).map((option) => ({ ...option, offer: offerOf(option) })) : []
      return {
        name,
        next: nextWords(name, [...names], commands),
        options: [...options, HELP, ...(name === '' ? [VERSION] : [])],
        alone:
          name === 'help' ? wordsOf([...names]) : help && name !== '' ? aloneOf(help) : { kind: 'nothing' as const },
      }
    }),
  )
}

/** `api`, `api fetch`, `api fetch x509` */
function prefixes(name: string): readonly string[] {
  const words = name.split(' ')
  return words.map((_, i) => words.slice(0, i + 1).join(' '))
}

function nextWords(name: string, names: readonly string[], commands: readonly ListedCommand[]) {
  const lead = name === '' ? '' : `${name} `
  return names
    .filter((other) => other.startsWith(lead) && other !== name && !other.slice(lead.length).includes(' '))
    .map((other) => ({
      word: other.slice(lead.length),
      text: commands.find((command) => command.name === other)?.summary ?? `Commands of ${other}.`,
    }))
}

/** The first words that may follow `help`. */
function wordsOf(names: readonly string[]): Offer {
  return { kind: 'words', words: names.filter((name) => !name.includes(' ')) }
}

/** Completion of an option's value, by its name and by the first words of its text (`pretty (default) or json`). */
function offerOf({ value, text }: ShownOption): Offer | null {
  if (value === null) return null
  const words = listedWords(value) ?? listedWords(text.replace(/\([^)]*\)/g, '').split(/[;:.]/)[0] ?? '')
  if (words && (words.length > 1 || value === 'FORMAT')) return { kind: 'words', words }
  if (/^(?:FILE|PATH|SOCKET|ADDRESS)/.test(value)) return { kind: 'files' }
  return { kind: /^DIR/.test(value) ? 'directories' : 'nothing' }
}

function listedWords(text: string): readonly string[] | null {
  const words = text
    .trim()
    .split(/\||,\s*(?:or\s+)?|\s+or\s+/)
    .map((word) => word.trim())
  return words.every((word) => /^[a-z0-9]+$/.test(word)) ? words : null
}

/** From the usage: `[workloads|entries|denials [ID]|bundles]`, `[FILE]`, `-- COMMAND`. */
function aloneOf({ usage }: HelpText): Offer {
  // Without options and their values.
  const text = usage.join(' ').replace(/\[?-{1,2}[a-z][\w-]*(?:[ =][^\s\]]+)?\]?/g, ' ')
  if (/(?:^| )-- COMMAND/.test(text)) return { kind: 'command' }
  const words = /(?:^|[ [])([a-z][a-z0-9-]*(?: \[[A-Z-]+\])?(?:\|[a-z][a-z0-9-]*(?: \[[A-Z-]+\])?)+)/.exec(text)?.[1]
  if (words !== undefined) return { kind: 'words', words: words.replace(/ \[[A-Z-]+\]/g, '').split('|') }
  return { kind: /\b(?:FILE|PATH)\b/.test(text) ? 'files' : 'nothing' }
}
