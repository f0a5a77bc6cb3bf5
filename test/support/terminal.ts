import { main } from '../../agent/main/cli.js'
import type { CommandIo, TextSink } from '../../agent/main/command.js'

/** What a command printed, and how it ended. */
export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Remembers what is written; can pass for a terminal. */
export class RecordedSink implements TextSink {
  text = ''
  constructor(
    readonly isTTY = false,
    private readonly onWrite: (text: string) => void = () => undefined,
  ) {}
  write(text: string): void {
    this.text += text
    this.onWrite(text)
  }
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal
  readonly isTTY?: boolean
  /** What a person answers who is asked. */
  readonly confirm?: () => Promise<boolean>
  /** Called with everything written to stdout so far, after each write. */
  readonly onStdout?: (text: string) => void
  readonly onStderr?: (text: string) => void
}

/** Runs `icp-agent ARGS` in this process, with an environment of its own. */
export async function icpAgent(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { env = {}, signal = new AbortController().signal, isTTY = false } = options
  const stdout: RecordedSink = new RecordedSink(isTTY, () => options.onStdout?.(stdout.text))
  const stderr: RecordedSink = new RecordedSink(isTTY, () => options.onStderr?.(stderr.text))
  const { confirm } = options
  const io: CommandIo = { env, stdout, stderr, signal, ...(confirm ? { confirm } : {}) }
  const code = await main(args, io)
  return { code, stdout: stdout.text, stderr: stderr.text }
}
