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

/** PF_KTHREAD among the flags of the task, field 9 of `/proc/PID/stat`. */
export function isKernelThread(stat: string): boolean {
  return (Number(fieldsOf(stat)[6]) & 0x00200000) !== 0
}

/** Field 22 of `/proc/PID/stat`, in clock ticks since boot. */
export function startTime(stat: string): string {
  const ticks = fieldsOf(stat)[19]
  if (ticks === undefined) throw new AgentError('caller.unidentified', '/proc/PID/stat has no start time')
  return ticks
}

/** From field 3. The process name before it may contain anything, also `)`. */
function fieldsOf(stat: string): readonly string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}
