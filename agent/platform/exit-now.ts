import { type Libc, loadLibc } from './koffi-libc.js'

/**
 * Ends the process at once. Only for when threads hang in a system call (ExecutableDigests.stuck): Node waits for every
 * thread, in process.exit() too, so the agent would hang with them until it is killed. Everything must be flushed.
 */
export function exitNow(code: number, libc: Libc = loadLibc()): never {
  libc.exit(code)
  throw new TypeError('the process lives on after its end')
}
