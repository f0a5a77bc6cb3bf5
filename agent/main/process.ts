import { setMaxListeners } from 'node:events'
import type { AgentError } from '../errors.js'
import { ioError } from '../platform/io-error.js'
import { main } from './cli.js'
import type { CommandIo } from './command.js'
import { SIGNALS } from './first.js'
import { reportError } from './report-error.js'

/**
 * Runs the command that the process was started with, and sets its exit code. Without process.exit, so that the process
 * ends when nothing is left to do and all output is written.
 */
export async function runProcess(
  ignoredVariables: readonly string[] = [],
  withheld: Readonly<Record<string, string>> = {},
): Promise<void> {
  const stop = new AbortController()
  // Every sleep of the process adds a listener.
  setMaxListeners(0, stop.signal)
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) process.on(signal, () => stop.abort())
  // A closed pipe (`icp-agent api watch x509 | head`) ends the command without a stack.
  let unwritten: AgentError | null = null
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') unwritten ??= ioError('write to', 'standard output', error)
    stop.abort()
  })
  const io: CommandIo = {
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: stop.signal,
    ignoredVariables,
    withheld,
    onSignal,
    ...(process.stdin.isTTY && process.stderr.isTTY ? { confirm } : {}),
  }
  const code = await main(process.argv.slice(2), io)
  // A stream emits its errors after the write.
  await new Promise((resolve) => setImmediate(resolve))
  process.exitCode = unwritten === null ? code : reportError(unwritten, io)
}

/** Reads a line from the terminal; its end (Ctrl-D) and Ctrl-C are not a yes. */
async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const { createInterface } = await import('node:readline')
  process.stderr.write(`${question} [y/N] `)
  const lines = createInterface({ input: process.stdin, signal })
  try {
    for await (const line of lines) return /^y(?:es)?$/i.test(line.trim())
    return false
  } finally {
    lines.close()
    process.stdin.unref()
  }
}

function onSignal(heard: (signal: NodeJS.Signals) => void): Disposable {
  // Node's profiler uses SIGPROF, and a handler would break it.
  const profiled = process.execArgv.some((option) => /^--(?:cpu-)?prof/.test(option))
  const signals = profiled ? SIGNALS : [...SIGNALS, 'SIGPROF' as const]
  for (const signal of signals) process.on(signal, heard)
  return {
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, heard)
    },
  }
}
