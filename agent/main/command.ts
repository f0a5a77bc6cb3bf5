/** Where a command writes text; `process.stdout` is one. */
export interface TextSink {
  write(text: string): unknown
  /** True for a terminal: then there may be colours, and text that is drawn over. */
  readonly isTTY?: boolean | undefined
  /** Width of the terminal. */
  readonly columns?: number | undefined
  /** Height of the terminal. */
  readonly rows?: number | undefined
}

/** What a command may touch of the process it runs in. Nothing else comes from the surroundings. */
export interface CommandIo {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Results: what a script reads. */
  readonly stdout: TextSink
  /** What a person reads: warnings, mistakes in the arguments. */
  readonly stderr: TextSink
  /** Aborts on SIGINT, SIGTERM and SIGQUIT: a command that runs on ends cleanly and returns. */
  readonly signal: AbortSignal
  /** Variables that the process was started with and that are without effect, by name (weakening.ts). */
  readonly ignoredVariables?: readonly string[]
  /** Those variables with their values, for a program that this one runs: they weaken this process alone. */
  readonly withheld?: Readonly<Record<string, string>>
  /** Asks a person for a yes; true only for that. Absent where there is no terminal to ask on. */
  confirm?(question: string, signal: AbortSignal): Promise<boolean>
  /** Calls back at every other signal that would end the process, until disposed. Absent where there are none. */
  onSignal?(heard: (signal: NodeJS.Signals) => void): Disposable
}

/** A subcommand of `icp-agent`, one file each under commands/. */
export interface Command {
  /** What `--help` prints: usage, every option, an example. */
  readonly help: string
  /** Resolves with the exit code: 0 done, 1 failed, 2 misused. `args` are those after the command's name. */
  run(args: readonly string[], io: CommandIo): Promise<number>
}
