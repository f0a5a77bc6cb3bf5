import { ATTESTOR_LINES } from './attestors.js'
import { CACHE_LINES } from './cache.js'
import { ENTRY_LINES } from './entries.js'
import { NODE_LINES } from './node.js'
import { PROCESS_LINES } from './process.js'
import { SERVER_LINES } from './server.js'
import { API_LINES } from './workload-api.js'

/**
 * Every log line of the agent, by the headings of docs/logs.md, whose tables are made from it. The agent imports only
 * the types of this table (`log.ts`), so that the texts cost no memory; a test checks that.
 */
export const LINES = {
  'The process': PROCESS_LINES,
  "The agent's own SVID": NODE_LINES,
  'The ICP server': SERVER_LINES,
  'Entries, SVIDs, bundles': ENTRY_LINES,
  'The sealed cache': CACHE_LINES,
  'The Workload API': API_LINES,
  'Attestors and platforms': ATTESTOR_LINES,
}

type Areas = typeof LINES
type Merged<U> = (U extends unknown ? (one: U) => void : never) extends (all: infer I) => void ? I : never

/** All lines by their text. */
export type Lines = Merged<Areas[keyof Areas]>
