/** Base and ceiling of an exponential backoff, in milliseconds. */
export interface Backoff {
  readonly baseMs: number
  /** Default 60 s. */
  readonly capMs?: number
}

const DEFAULT_CAP_MS = 60_000

/**
 * The wait after this many consecutive failures: the base, doubled per failure, at most the cap, times 0.5 to 1 (equal
 * jitter), so that agents that failed together do not retry together, and none retries at once. 0 for no failure.
 * `fraction` in [0, 1].
 */
export function delay(failures: number, { baseMs, capMs = DEFAULT_CAP_MS }: Backoff, fraction: number): number {
  if (failures <= 0) return 0
  // 2 ** 30 times any base exceeds every cap; much larger exponents would give Infinity.
  const full = Math.min(capMs, baseMs * 2 ** Math.min(failures - 1, 30))
  return Math.round(full * (0.5 + 0.5 * fraction))
}
