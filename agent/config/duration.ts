const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const DURATION = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/
const PLAIN = /^\d{1,9}(?:\.\d{1,6})?$/

/**
 * Milliseconds of `500ms`, `30s`, `15m`, `6h`, `1d`, rounded; null for what is not a duration. A number without a unit
 * counts only with `plainSeconds`, for the settings that have always been plain seconds.
 */
export function parseDuration(text: string, options: { plainSeconds?: boolean } = {}): number | null {
  const match = DURATION.exec(text)
  const plain = match === null && options.plainSeconds === true && PLAIN.test(text)
  if (match === null && !plain) return null
  const ms = plain ? Number(text) * UNITS.s : Number(match?.[1]) * UNITS[match?.[2] as keyof typeof UNITS]
  return ms <= Number.MAX_SAFE_INTEGER ? Math.round(ms) : null
}

/** The shortest exact way to write it: 21,600,000 is `6h`, 1,500 is `1500ms`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (ms > 0 && ms % UNITS[unit] === 0) return `${ms / UNITS[unit]}${unit}`
  }
  return `${ms}ms`
}
