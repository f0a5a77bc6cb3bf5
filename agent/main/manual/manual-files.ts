import { COMMANDS } from '../command-table.js'
import { bashCompletion } from './bash.js'
import { commandWords } from './command-words.js'
import { fishCompletion } from './fish.js'
import { manPages } from './man-pages.js'
import { zshCompletion } from './zsh.js'

/** Manual and completion files of packages, by name. scripts/package/manual.mjs imports this. */
export async function manualFiles(version: string) {
  const words = await commandWords(COMMANDS)
  return {
    pages: await manPages(COMMANDS, version),
    completions: { bash: bashCompletion(words), zsh: zshCompletion(words), fish: fishCompletion(words) },
  }
}
