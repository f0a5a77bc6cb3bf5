import { join, resolve } from 'node:path'
import { AgentError, isError } from '../../errors.js'
import type { FilePlan } from '../../files/file-plan.js'
import type { Received } from '../../files/output-files.js'
import { retryText } from '../../files/received-parts.js'
import { aborted } from '../../lib/abort.js'
import { sleepUnlessAborted } from '../../lib/sleep.js'
import { printable } from '../../observability/printable.js'
import { ChildProgram, numberOf } from '../../platform/child-program.js'
import { privateRuntimeDirectory } from '../../platform/private-runtime-directory.js'
import { duration, misused, readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'
import { FILE_OPTIONS, FILE_OPTIONS_HELP, signalNamed } from '../file-options.js'
import { fileTask, helperConfig, type OpenFiles, openFiles } from '../identity-files.js'
import { withOptionFile } from '../option-file.js'
import { reportError } from '../report-error.js'

const OPTIONS = { ...FILE_OPTIONS, 'on-rotation': { type: 'string' }, 'stop-timeout': { type: 'string' } } as const
const WAIT = '1m'
const STOP_MS = 10_000
const RETRY_MS = 30_000
/** Signals that end a process while it waits for its identity; others are ignored then. */
const ENDING: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP']

export const exec: Command = {
  help: `Usage: icp-agent exec [OPTIONS] -- COMMAND [ARGUMENT…]

Waits for the identity, writes it to files in a private directory (in memory if possible, for this user only, removed
at the end), runs the program with their names in its environment, and renews them while it runs. Signals are passed on
to the program, and its exit code is returned. The command can be the entry point of a container, as PID 1.

The program's environment has SPIFFE_ENDPOINT_SOCKET, SVID_DIR, SVID_SPIFFE_ID, SVID_CERT_FILE, SVID_KEY_FILE,
SVID_BUNDLE_FILE, SVID_COMBINED_FILE, and those of the options: SVID_JWKS_FILE, SVID_KEYSTORE_FILE,
SVID_TRUSTSTORE_FILE. See docs/exec.md.

Options:
  --on-rotation WHAT     none (default): the program watches the files; restart; or a signal (HUP)
  --stop-timeout DURATION
                         time between SIGTERM and SIGKILL at a restart; default 10s
  --wait DURATION        how long to wait for the first identity; default 1m
  -d, --dir DIR          write the files here instead; they stay
${FILE_OPTIONS_HELP}
  --helper-config FILE   read a configuration of spiffe-helper instead; without COMMAND its cmd is run

Exit codes: that of the program; 128 and the signal's number if a signal ended it; 1 no identity in time; 2 wrong
usage; 126 the program cannot be run; 127 it is not found.

Example:
  icp-agent exec --on-rotation HUP -- nginx -g 'daemon off;'
`,
  async run(args, io) {
    const end = args.indexOf('--')
    const { options: given, positionals } = readArguments(end === -1 ? args : args.slice(0, end), OPTIONS, 1_000)
    if (positionals[0] !== undefined) throw misused(`write the command behind --: -- ${positionals[0]}`)
    const options = given.config === undefined ? given : await withOptionFile(OPTIONS, given.config, given, io)
    const helper = await helperConfig(options['helper-config'])
    const [program, ...rest] = end === -1 ? [] : args.slice(end + 1)
    const command = program === undefined ? helper?.command : ([program, ...rest] as const)
    if (!command) throw misused('the command is missing: write it behind --')
    const onRotation = rotationOf(options['on-rotation'] ?? helper?.renewSignal ?? 'none')
    const stopMs = duration(options['stop-timeout'], STOP_MS, '--stop-timeout')
    const tell = (text: string) => void io.stderr.write(`icp-agent: ${printable(text)}\n`)
    using own = options.dir === undefined && !helper ? privateRuntimeDirectory(io.env) : null
    if (own && !own.inMemory) tell(`there is no directory in memory here: the private key is written to ${own.path}`)
    const task = await fileTask({ wait: WAIT, ...options, ...(own ? { dir: own.path } : {}) }, helper)
    using open = await openFiles(task, { io, tell })
    const environment = (received: Received) => ({
      ...io.env,
      ...io.withheld,
      ...variables(resolve(task.directory), task.plan, received),
      SPIFFE_ENDPOINT_SOCKET: open.address,
    })
    return await new Execution({ command, onRotation, stopMs, io, open, tell, environment }).run()
  },
}

type OnRotation = 'none' | 'restart' | NodeJS.Signals

function rotationOf(text: string): OnRotation {
  if (text === 'none' || text === 'restart') return text
  return signalNamed(text, '--on-rotation', 'none, restart or a signal such as HUP')
}

interface ExecutionOptions {
  readonly command: readonly [string, ...string[]]
  readonly onRotation: OnRotation
  readonly stopMs: number
  readonly io: CommandIo
  readonly open: OpenFiles
  readonly tell: (text: string) => void
  readonly environment: (received: Received) => Readonly<Record<string, string | undefined>>
}

/** Runs one program with the files of its identity. */
class Execution {
  readonly #options: ExecutionOptions
  readonly #over = new AbortController()
  readonly #interrupted = new AbortController()
  #restarting = false
  #env: Readonly<Record<string, string | undefined>> = {}
  #first: () => void = () => undefined

  constructor(options: ExecutionOptions) {
    this.#options = options
  }

  async run(): Promise<number> {
    const { io } = this.#options
    using program = new ChildProgram((signal) => {
      if (ENDING.includes(signal)) this.#interrupted.abort(signal)
    })
    const first = new Promise<void>((resolve) => {
      this.#first = resolve
    })
    const { signal } = this.#interrupted
    const keeping = this.#keep(program)
    keeping.catch(() => undefined)
    try {
      await Promise.race([first, aborted(signal), keeping])
      if (signal.aborted) return 128 + numberOf(signal.reason as NodeJS.Signals)
      return await this.#runProgram(program)
    } catch (error) {
      const code = isError(error, 'command.failed') ? error.details.exitCode : undefined
      if (typeof code !== 'number') throw error
      reportError(error, io)
      return code
    } finally {
      this.#over.abort()
      await keeping.catch(() => undefined)
    }
  }

  async #runProgram(program: ChildProgram): Promise<number> {
    const { command, io } = this.#options
    for (;;) {
      this.#restarting = false
      const ending = await program.start(command, this.#env)
      // When this process is being ended, the program is not started again.
      if (!this.#restarting || io.signal.aborted) return ending.code
    }
  }

  /** Runs until the program ends; after a permanent failure the program continues with the files that it has. */
  async #keep(program: ChildProgram): Promise<void> {
    const { io, open, tell, environment } = this.#options
    const { signal } = this.#over
    let started = false
    while (!signal.aborted) {
      try {
        await open.keep({
          io,
          signal,
          once: false,
          tell,
          written: async (received, { changed }) => {
            this.#env = environment(received)
            // After a failure the files may be unchanged.
            if (started && changed) this.#rotated(program)
            started = true
            this.#first()
          },
        })
      } catch (error) {
        if (!started || !(error instanceof AgentError)) throw error
        tell(retryText({ error, delayMs: RETRY_MS }))
        await sleepUnlessAborted(open.clock, RETRY_MS, signal)
      }
    }
  }

  #rotated(program: ChildProgram): void {
    const { onRotation, stopMs, open } = this.#options
    if (onRotation === 'none' || program.pid === null) return
    if (onRotation !== 'restart') {
      program.signal(onRotation)
      return
    }
    this.#restarting = true
    const { pid } = program
    program.signal('SIGTERM')
    open.clock.after(stopMs, () => {
      if (program.pid === pid) program.signal('SIGKILL')
    })
  }
}

function variables(directory: string, plan: FilePlan, received: Received): Record<string, string | undefined> {
  const path = (name: string | null) => (name === null ? undefined : join(directory, name))
  const [token] = received.tokens.values()
  return {
    SVID_DIR: directory,
    SVID_SPIFFE_ID: (received.x509?.held.svid.spiffeId ?? token?.spiffeId)?.uri,
    SVID_CERT_FILE: path(plan.certificate),
    SVID_KEY_FILE: path(plan.key),
    SVID_BUNDLE_FILE: path(plan.bundle),
    SVID_COMBINED_FILE: path(plan.combined),
    SVID_KEYSTORE_FILE: path(plan.keystore),
    SVID_TRUSTSTORE_FILE: path(plan.truststore),
    SVID_JWKS_FILE: path(plan.jwks),
  }
}
