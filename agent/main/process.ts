import { setMaxListeners } from 'node:events'
import { main } from './cli.js'
import type { CommandIo } from './command.js'

/**
 * Runs the command that the process was started with, and sets its exit code. No process.exit: the process ends because
 * nothing is left to do, and what was written is written.
 */
export async function runProcess(): Promise<void> {
  const stop = new AbortController()
  // Every sleeper of the process listens to it.
  setMaxListeners(0, stop.signal)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort())
  // A reader that has seen enough (`icp-agent api watch x509 | head`) ends the command without a stack.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    stop.abort()
  })
  const io: CommandIo = {
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: stop.signal,
    onReload: (reload) => {
      process.on('SIGHUP', reload)
      return { [Symbol.dispose]: () => void process.off('SIGHUP', reload) }
    },
  }
  process.exitCode = await main(process.argv.slice(2), io)
}
