import type { Generation } from './options.js'
import type { EntryRecord } from './state.js'

/** `foreign`: the entry that won belongs to another agent. */
export type WinningEntry = { readonly entry: EntryRecord } | { readonly foreign: EntryRecord } | null

/** An agent's own entries weigh more than any number of selectors. */
const OWN = 1000

/**
 * The one entry that the server issues for these selectors: among those whose selectors are all sent, the agent's own
 * before unassigned ones, then the one with the most selectors, then the youngest. The older generation lets another
 * agent's entry compete, and refuses when it wins. `entries` are all of the account's, oldest first.
 */
export function chooseEntry(
  entries: Iterable<EntryRecord>,
  agentSpiffeId: string,
  sent: Readonly<Record<string, string>>,
  generation: Generation,
): WinningEntry {
  let best: EntryRecord | null = null
  let bestScore = -1
  for (const entry of entries) {
    const foreign = entry.parentId !== '' && entry.parentId !== agentSpiffeId
    if ((foreign && generation === 'workspace') || !isSubset(entry.selectors, sent)) continue
    const score = Object.keys(entry.selectors).length + (entry.parentId === agentSpiffeId ? OWN : 0)
    // The real server looks at the youngest first and keeps the first of equals: going up, the last of equals wins.
    if (score >= bestScore) {
      best = entry
      bestScore = score
    }
  }
  if (!best) return null
  return best.parentId === '' || best.parentId === agentSpiffeId ? { entry: best } : { foreign: best }
}

function isSubset(wanted: Readonly<Record<string, string>>, sent: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(sent, key) && sent[key] === value)
}
