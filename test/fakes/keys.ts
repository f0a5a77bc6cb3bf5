import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { KeySource } from '../../agent/crypto/keys.js'

const made: Promise<KeyObject>[] = []

/** The n-th RSA-2048 key of this test process, made once: keys take long, and tests need few different ones. */
export function rsaKey(n = 0): Promise<KeyObject> {
  made[n] ??= promisify(generateKeyPair)('rsa', { modulusLength: 2048 }).then(({ privateKey }) => privateKey)
  return made[n]
}

/** Hands out ready keys in turn, at once: a fake clock need not wait for the thread pool. */
export class FixedKeys implements KeySource {
  taken = 0
  private constructor(private readonly keys: readonly KeyObject[]) {}

  static async create(count = 2): Promise<FixedKeys> {
    return new FixedKeys(await Promise.all(Array.from({ length: count }, (_, n) => rsaKey(n))))
  }

  async take(signal: AbortSignal): Promise<KeyObject> {
    signal.throwIfAborted()
    const key = this.keys[this.taken++ % this.keys.length]
    if (!key) throw new TypeError('no keys were made')
    return key
  }
}
