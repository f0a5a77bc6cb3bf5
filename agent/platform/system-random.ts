import { randomBytes } from 'node:crypto'
import type { Random } from '../ports/random.js'

/** Randomness of the system. 48 bits: the largest whole number of bytes that a double holds exactly. */
export const systemRandom: Random = {
  fraction: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
}
