import { readFileSync } from 'node:fs'

/** Reserve for files, requests, logs, digests and the event loop; half of the limit if that is small. */
const RESERVE = 256
/** A socket, a second one for gRPC for Java, and two for the process. */
const PER_CONNECTION = 4
const PER_LINGERING = 2
const MAX_LINGERING = 1024

/** The division of the agent's descriptors. */
export interface OpenFileShare {
  /** Null: no limit. */
  readonly limit: number | null
  /** Connections that may be open at a time. */
  readonly connections: number
  /** Limit of workloads kept after their last connection. */
  readonly lingering: number
  /** Fewer connections than the configuration allows. */
  readonly short: boolean
}

/** The limit of open files of this process, which Node has raised as far as possible; null: unlimited. */
export function openFileLimit(limits: string = readFileSync('/proc/self/limits', 'utf8')): number | null {
  const soft = /^Max open files\s+(\d+)\s/m.exec(limits)?.[1]
  return soft === undefined ? null : Number(soft)
}

/**
 * Divides the descriptors so that callers can never use the last one: without one the agent can identify no caller, write
 * no file and send no request. `wanted`: the connections that the configuration allows.
 */
export function shareOut(limit: number | null, wanted: number): OpenFileShare {
  if (limit === null) return { limit, connections: wanted, lingering: MAX_LINGERING, short: false }
  const lingering = Math.min(MAX_LINGERING, Math.floor(limit / 16))
  const reserve = Math.min(RESERVE, Math.floor(limit / 2))
  const room = Math.floor((limit - reserve - PER_LINGERING * lingering) / PER_CONNECTION)
  const connections = Math.max(1, Math.min(wanted, room))
  return { limit, connections, lingering, short: connections < wanted }
}
