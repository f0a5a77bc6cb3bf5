import type { Random } from '../../agent/ports/random.js'

/** A seeded generator (mulberry32): the same seed gives the same sequence. */
export function seededRandom(seed = 1): Random {
  let state = seed >>> 0
  return {
    fraction() {
      state = (state + 0x6d2b79f5) >>> 0
      let t = state
      t = Math.imul(t ^ (t >>> 15), t | 1)
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
      return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
    },
  }
}

/** Always the same fraction. */
export function fixedRandom(fraction = 0.5): Random {
  return { fraction: () => fraction }
}
