import { AgentError } from '../errors.js'

/** The numbers on a line of `/proc/PID/status`; empty if there is no such line. */
export function numbersOf(status: string, label: 'Uid' | 'Gid' | 'Groups'): readonly number[] {
  // The kernel escapes line feeds in the process name, so a line cannot be forged.
  const at = status.indexOf(`\n${label}:`)
  if (at === -1) return []
  const start = at + label.length + 2
  const end = status.indexOf('\n', start)
  const line = status.slice(start, end === -1 ? undefined : end).trim()
  return line === '' ? [] : line.split(/\s+/).map(Number)
}

/** Field 22 of `/proc/PID/stat`, in clock ticks since boot. The process name before it may contain anything, also `)`. */
export function startTime(stat: string): string {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = fields[19]
  if (ticks === undefined) throw new AgentError('caller.unidentified', '/proc/PID/stat has no start time')
  return ticks
}
