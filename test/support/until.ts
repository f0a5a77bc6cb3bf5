import { inspect } from 'node:util'

export interface Patience {
  /** What is waited for, where the look itself does not say it. */
  readonly what?: string
  /** Default 180: what never comes takes as long, and a busy machine is no failure. */
  readonly seconds?: number
}

/** Looks again and again until there is something, and returns it; throws when the time is over. */
export async function until<T>(look: () => T | Promise<T>, { what, seconds = 180 }: Patience = {}): Promise<T> {
  return await eventually(look, Boolean, { what: what ?? String(look), seconds })
}

/** Looks again and again until what is seen is as wanted, and returns it; throws when the time is over. */
export async function eventually<T>(
  look: () => T | Promise<T>,
  like: (seen: T) => boolean,
  { what, seconds = 180 }: Patience = {},
): Promise<T> {
  const began = performance.now()
  for (;;) {
    const looked = performance.now()
    const seen = await look()
    if (like(seen)) return seen
    const now = performance.now()
    if (now - began > seconds * 1000) {
      throw new Error(`not within ${seconds} s: ${what ?? String(like)}; last seen: ${inspect(seen)}`)
    }
    // A look that costs is not repeated at once.
    await new Promise((resolve) => setTimeout(resolve, Math.min(500, Math.max(5, now - looked))))
  }
}
