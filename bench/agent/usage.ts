import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'
import type { Usage, UsageQuestion } from './messages.js'

// Loaded before the agent; reports the usage of the process to the benchmark at each request.
const TICK_MS = 5
const MIB = 1024 * 1024

if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: TICK_MS })
  let cpu = process.cpuUsage()
  let since = performance.now()
  process.on('message', ({ watch }: UsageQuestion) => {
    const { user, system } = process.cpuUsage(cpu)
    const late = (ns: number) => Math.max(0, ns / 1e6 - TICK_MS)
    const delayMs = { p50: late(delay.percentile(50)), p99: late(delay.percentile(99)), max: late(delay.max) }
    const elapsedMs = performance.now() - since
    global.gc?.()
    const { heapUsed, rss } = process.memoryUsage()
    const usage: Usage = {
      cpuMs: (user + system) / 1000,
      elapsedMs,
      delayMs,
      heapMib: heapUsed / MIB,
      rssMib: rss / MIB,
    }
    process.send?.(usage)
    delay.reset()
    if (watch) delay.enable()
    else delay.disable()
    cpu = process.cpuUsage()
    since = performance.now()
  })
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.channel?.unref()
}
