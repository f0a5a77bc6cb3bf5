/** `2026-01-31 13:05:09Z`: a moment to the second, in UTC. */
export function moment(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`
}

/** `13:05:09`: the time of day in UTC. */
export function timeOfDay(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19)
}

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const

/** `42 s`, `4 min 10 s`, `3 h`: a span in its two largest units; less than a second is `0 s`. */
export function span(ms: number): string {
  let seconds = Math.max(0, Math.floor(ms / 1000))
  const parts: string[] = []
  for (const [unit, size] of UNITS) {
    const count = Math.floor(seconds / size)
    seconds -= count * size
    if (count > 0) parts.push(`${count} ${unit}`)
    else if (parts.length > 0) break
    if (parts.length === 2) break
  }
  return parts.join(' ') || '0 s'
}
