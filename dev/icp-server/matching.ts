import type { Generation } from './options.js'
import type { EntryRecord } from './state.js'

/** `foreign`: the chosen entry belongs to another agent. */
export type WinningEntry = { readonly entry: EntryRecord } | { readonly foreign: EntryRecord } | null

/** An agent's own entries weigh more than any number of selectors. */
const OWN = 1000

/**
 * The entry that the server issues for these selectors: among those whose selectors are all sent, the agent's own before
 * unassigned ones, then the one with the most selectors, then the youngest. The older generation also considers entries of
 * other agents, and refuses if one is chosen. `entries` are all of the account's, oldest first.
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
    // The real server goes from the youngest and keeps the first of equals; this loop goes from the oldest and keeps the last.
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
