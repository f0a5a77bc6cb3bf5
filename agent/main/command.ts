/** A destination of text, such as `process.stdout`. */
export interface TextSink {
  write(text: string): unknown
  /** True for a terminal, which can show colours and be redrawn. */
  readonly isTTY?: boolean | undefined
  /** Width of the terminal. */
  readonly columns?: number | undefined
  /** Height of the terminal. */
  readonly rows?: number | undefined
}

/** The parts of the process that a command may use; it uses nothing else of its surroundings. */
export interface CommandIo {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Results, for scripts. */
  readonly stdout: TextSink
  /** Messages for people: warnings, errors. */
  readonly stderr: TextSink
  /** Aborts on SIGINT, SIGTERM and SIGQUIT; a long-running command then ends cleanly and returns. */
  readonly signal: AbortSignal
  /** Names of variables of the start that were removed (weakening.ts). */
  readonly ignoredVariables?: readonly string[]
  /** Those variables with their values, for a program that the command runs, which they do not weaken. */
  readonly withheld?: Readonly<Record<string, string>>
  /** Asks for confirmation; true only for a yes. Absent without a terminal. */
  confirm?(question: string, signal: AbortSignal): Promise<boolean>
  /** Calls back at every other signal that would end the process, until disposed. */
  onSignal?(heard: (signal: NodeJS.Signals) => void): Disposable
}

/** A subcommand of `icp-agent`, one file each under commands/. */
export interface Command {
  /** What `--help` prints: usage, every option, an example. */
  readonly help: string
  /** Resolves with the exit code: 0 done, 1 failed, 2 misused. `args` are those after the command's name. */
  run(args: readonly string[], io: CommandIo): Promise<number>
}
