import { type Libc, loadLibc } from './koffi-libc.js'

/**
 * Ends the process at once. Only for when threads hang in a system call (ExecutableDigests.stuck): Node waits for every
 * thread, in process.exit() too, so the agent would hang with them until it is killed. Everything must be flushed.
 */
export function exitNow(code: number, load: () => Libc = loadLibc): never {
  try {
    load().exit(code)
  } catch {
    // Node's own way is the next best: the libraries are not whole, or the process may not load native ones.
  }
  process.exit(code)
}
