import { isMainThread } from 'node:worker_threads'

// Loaded before a program: its wall clock is then the real one plus what the parent process says. That is how a test
// makes the clock of one process jump; timers, and the clock that never jumps, are left alone.
let offset = 0
const real = Date.now.bind(Date)
Date.now = () => real() + offset

if (isMainThread) {
  offset = Number(process.env['CHAOS_CLOCK_OFFSET'] ?? 0)
  process.on('message', (message: { readonly offset?: number; readonly weigh?: true }) => {
    if (message.offset !== undefined) offset = message.offset
    // What is in use, without what only waits to be collected.
    if (message.weigh) {
      global.gc?.()
      process.send?.({ heapKib: Math.round(process.memoryUsage().heapUsed / 1024) })
    }
  })
  // A driver that is gone leaves nothing behind.
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.channel?.unref()
}
