/** A moment as ISO 8601 in UTC, with milliseconds. */
export function iso(at: number): string {
  return new Date(at).toISOString()
}

/** Milliseconds as seconds with one decimal. */
export function secondsOf(ms: number): number {
  return Math.round(ms / 100) / 10
}
