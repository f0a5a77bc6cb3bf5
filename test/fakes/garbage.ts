import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose_gc')
const collect: unknown = runInNewContext('gc')

/** Collects garbage until it is so, or for a number of rounds that is far more than needed. */
export async function collectUntil(what: () => boolean): Promise<boolean> {
  if (typeof collect !== 'function') throw new TypeError('this Node hides its garbage collector')
  for (let round = 0; round < 50 && !what(); round++) {
    // What a WeakRef has shown lives to the end of the task; finalizers run in tasks of their own.
    await new Promise<void>((resolve) => setImmediate(resolve))
    collect()
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  return what()
}
