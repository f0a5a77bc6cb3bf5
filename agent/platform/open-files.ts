import { readFileSync } from 'node:fs'

/** For files, requests, logs, digests and the event loop itself; where few are allowed, half of them. */
const RESERVE = 256
/** A socket, a second one behind it (gRPC for Java), and the two of its process. */
const PER_CONNECTION = 4
const PER_LINGERING = 2
const MAX_LINGERING = 1024

/** How the descriptors of the agent are shared out. */
export interface OpenFileShare {
  /** Null where there is none. */
  readonly limit: number | null
  /** Connections that may be open at a time. */
  readonly connections: number
  /** Workloads that are kept for a while after their last connection. */
  readonly lingering: number
  /** Fewer connections than the configuration allows. */
  readonly short: boolean
}

/** How many files this process may have open, or null where nothing limits it. Node has raised it as far as it may. */
export function openFileLimit(limits: string = readFileSync('/proc/self/limits', 'utf8')): number | null {
  const soft = /^Max open files\s+(\d+)\s/m.exec(limits)?.[1]
  return soft === undefined ? null : Number(soft)
}

/**
 * Shares the descriptors out, so that callers can never take the last one: without one nobody can be identified, no
 * file written and no server asked. `wanted`: the connections that the configuration allows.
 */
export function shareOut(limit: number | null, wanted: number): OpenFileShare {
  if (limit === null) return { limit, connections: wanted, lingering: MAX_LINGERING, short: false }
  const lingering = Math.min(MAX_LINGERING, Math.floor(limit / 16))
  const reserve = Math.min(RESERVE, Math.floor(limit / 2))
  const room = Math.floor((limit - reserve - PER_LINGERING * lingering) / PER_CONNECTION)
  const connections = Math.max(1, Math.min(wanted, room))
  return { limit, connections, lingering, short: connections < wanted }
}
