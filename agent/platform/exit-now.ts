import { type Libc, loadLibc } from './koffi-libc.js'

/**
 * Ends the process at once. Only for threads that hang in a system call (ExecutableDigests.stuck): Node waits for every
 * thread, also in process.exit(), so the agent would hang until it is killed. Flush everything before.
 */
export function exitNow(code: number, load: () => Libc = loadLibc): never {
  try {
    load().exit(code)
  } catch {
    // The native library cannot be loaded; process.exit() is the next best way.
  }
  process.exit(code)
}
