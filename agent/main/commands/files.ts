import { AgentError } from '../../errors.js'
import type { Received } from '../../files/output-files.js'
import { printable } from '../../observability/printable.js'
import { ChildProgram, type Ending } from '../../platform/child-program.js'
import { actionText, perform, type RotationAction } from '../../platform/rotation-actions.js'
import { serviceManager } from '../../platform/service-manager.js'
import { readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'
import { ACTION_OPTIONS, ACTION_OPTIONS_HELP, rotationActions } from '../file-actions.js'
import { FILE_OPTIONS, FILE_OPTIONS_HELP, signalNamed } from '../file-options.js'
import { fileTask, helperConfig, openFiles, writtenText } from '../identity-files.js'
import { withOptionFile } from '../option-file.js'

const OPTIONS = { ...FILE_OPTIONS, ...ACTION_OPTIONS, once: { type: 'boolean' } } as const
/** The default wait with --once, because an init container that waits for ever reports nothing. */
const ONCE_WAIT = '1m'
const STOP_MS = 10_000

export const files: Command = {
  help: `Usage: icp-agent files --dir DIR [--once] [OPTIONS]

Writes the identity of this process to files and renews them: certificate, key and bundle as PEM, certificate
and key together in combined.pem, and what the options add. All files of a rotation change at once, and are
complete whenever this process or the machine stops. The agent attests this process like any workload: it sees
icp-agent, so register a user, a systemd unit or a container, not a path or a digest. See docs/files.md.

Options:
  -d, --dir DIR          the directory of the files; created if missing
  --once                 write the files, run the actions below, and end: for init containers
  --wait DURATION        how long to wait for the first identity; default: no limit, with --once 1m
${FILE_OPTIONS_HELP}
  --helper-config FILE   read a configuration of spiffe-helper instead

Actions at the start and after each change of the files, in this order:
${ACTION_OPTIONS_HELP}

Exit codes: 0 stopped, or written with --once; 1 failed; 2 wrong usage.

Example:
  icp-agent files --dir /run/web/identity --reload nginx.service
`,
  async run(args, io) {
    const { options: given } = readArguments(args, OPTIONS)
    const options = given.config === undefined ? given : await withOptionFile(OPTIONS, given.config, given, io)
    const helper = await helperConfig(options['helper-config'])
    const once = options.once ?? !(helper?.daemon ?? true)
    const task = await fileTask(once ? { wait: ONCE_WAIT, ...options } : options, helper)
    const actions = rotationActions(options, helper)
    const tell = (text: string) => void io.stderr.write(`${printable(text)}\n`)
    const manager = serviceManager(io.env, {
      pid: process.pid,
      log: { warn: (event: string, ..._: unknown[]) => tell(event) },
    })
    using launched = helper?.command && !once ? new Launched(helper.command, helper.renewSignal, io) : null
    using open = await openFiles(task, { io, tell })
    let failed = false
    const changed = async (received: Received, { changed }: { readonly changed: boolean }) => {
      const text = `${changed ? 'wrote' : 'found'} ${writtenText(received)}`
      tell(text)
      manager.status(text)
      failed = !(await performAll(actions, io, tell))
      launched?.changed(tell)
      manager.ready()
    }
    await open.keep({ io, signal: io.signal, once, tell, written: changed })
    manager.stopping()
    await launched?.end((ms, run) => open.clock.after(ms, run))
    return once && failed ? 1 : 0
  },
}

/** False if any of them failed; the others are still performed. */
async function performAll(
  actions: readonly RotationAction[],
  io: CommandIo,
  tell: (text: string) => void,
): Promise<boolean> {
  let done = true
  for (const action of actions) {
    try {
      await perform(action, { env: io.env, signal: io.signal })
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      done = false
      tell(`${actionText(action)} failed: ${error.message} [${error.code}]`)
    }
  }
  return done
}

/** The program of a spiffe-helper configuration: started with the first files, then signalled, restarted if it has ended. */
class Launched implements Disposable {
  readonly #program = new ChildProgram(() => undefined)
  readonly #signal: NodeJS.Signals | null
  #ended: Promise<Ending> | null = null

  constructor(
    private readonly command: readonly [string, ...string[]],
    signal: string | null,
    private readonly io: CommandIo,
  ) {
    this.#signal = signal === null ? null : signalNamed(signal, 'renew_signal')
  }

  changed(tell: (text: string) => void): void {
    if (this.#program.pid !== null) {
      if (this.#signal) this.#program.signal(this.#signal)
      return
    }
    try {
      this.#ended = this.#program.start(this.command, { ...this.io.env, ...this.io.withheld })
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      tell(`${error.message} [${error.code}]`)
    }
  }

  /** The signal that ended this command was also sent to the program. */
  async end(after: (ms: number, run: () => void) => Disposable): Promise<void> {
    if (this.#program.pid === null) return
    this.#program.signal('SIGTERM')
    using _ = after(STOP_MS, () => this.#program.signal('SIGKILL'))
    await this.#ended
  }

  [Symbol.dispose](): void {
    this.#program[Symbol.dispose]()
  }
}
