import { constants as fileConstants, openSync } from 'node:fs'
import { constants } from 'node:os'
import { isatty } from 'node:tty'
import { AgentError } from '../errors.js'
import { LibcError } from './koffi-libc.js'
import { type ChildEvent, loadProgramCalls, type ProgramCalls } from './libc-programs.js'

/** How a program ended, in a shell's terms: its exit code, or 128 plus the number of the signal. */
export interface Ending {
  readonly code: number
  readonly signal: NodeJS.Signals | null
}

/** Signals that are forwarded to the program. */
const FORWARDED: readonly NodeJS.Signals[] = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGVTALRM',
  'SIGIO',
  'SIGPWR',
  'SIGSTKFLT',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGURG',
  'SIGSYS',
  'SIGWINCH',
]
/** Signals that a terminal sends to its whole foreground group, so that they need no forwarding. */
const OF_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH']
const STOPS: readonly number[] = ['SIGTSTP', 'SIGTTIN', 'SIGTTOU'].map((name) => numberOf(name as NodeJS.Signals))

/**
 * Where the program runs: `apart`: in its own group without a terminal; `foreground`: in its own group, which has the
 * terminal; `together`: in this process's group, if other processes of a pipeline need the terminal too.
 */
type TerminalPlace = 'apart' | 'foreground' | 'together'

/**
 * Runs one program at a time on behalf of this process: forwards signals, gives it the terminal, and reaps every orphan
 * that becomes a child of this process (which may be PID 1 of a container).
 */
export class ChildProgram implements Disposable {
  readonly #calls: ProgramCalls
  readonly #tty: number | null
  readonly #place: TerminalPlace
  readonly #listeners: readonly (readonly [NodeJS.Signals, () => void])[]
  #pid: number | null = null
  #ended: (ending: Ending) => void = () => undefined
  /** Signals that arrived before a program ran. */
  readonly #early: NodeJS.Signals[] = []

  /** `early`: called at a signal that arrives while no program runs. */
  constructor(early: (signal: NodeJS.Signals) => void, calls: ProgramCalls = loadProgramCalls()) {
    this.#calls = calls
    this.#tty = terminal()
    this.#place = placeOf(this.#tty, calls)
    // Otherwise this process would be stopped when it takes the terminal back from the background.
    if (this.#place === 'foreground') calls.ignoreSignal(numberOf('SIGTTOU'))
    const forward = (signal: NodeJS.Signals) => {
      if (this.#pid === null) {
        this.#early.push(signal)
        early(signal)
      } else if (this.#place !== 'together' || !OF_TERMINAL.includes(signal)) this.signal(signal)
    }
    this.#listeners = [
      ...FORWARDED.map((signal) => [signal, () => forward(signal)] as const),
      ['SIGCHLD', () => this.#look()],
      ['SIGCONT', () => this.#goOn()],
    ]
    for (const [signal, listener] of this.#listeners) process.on(signal, listener)
  }

  /** Signals that arrived while no program ran, in their order. */
  get early(): readonly NodeJS.Signals[] {
    return this.#early
  }

  get pid(): number | null {
    return this.#pid
  }

  /** Starts a program; the promise resolves when it has ended. Throws `command.failed` with `details.exitCode`. */
  start(command: readonly [string, ...string[]], env: Readonly<Record<string, string | undefined>>): Promise<Ending> {
    const variables = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
    try {
      this.#pid = this.#calls.spawn(command, variables, this.#place !== 'together')
    } catch (cause) {
      throw cannotStart(command[0], cause)
    }
    const ended = new Promise<Ending>((resolve) => {
      this.#ended = resolve
    })
    this.#giveTerminal()
    // It may have exited before the listener for SIGCHLD was added.
    this.#look()
    return ended
  }

  /** Does nothing if it has exited. */
  signal(signal: NodeJS.Signals): void {
    if (this.#pid !== null) kill(this.#pid, signal)
  }

  [Symbol.dispose](): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener)
  }

  #look(): void {
    if (this.#pid !== null) this.#lookAt(this.#pid)
    // Only peeked (WNOWAIT), so that the status of the program is not taken here.
    for (let orphan = this.#calls.endedChild(); orphan !== 0; orphan = this.#calls.endedChild()) {
      if (orphan === this.#pid) this.#lookAt(orphan)
      else this.#calls.reap(orphan)
    }
  }

  #lookAt(pid: number): void {
    for (let event = this.#calls.childEvent(pid); event; event = this.#calls.childEvent(pid)) this.#take(event)
  }

  #take({ kind, status }: ChildEvent): void {
    if (kind === 'stopped') this.#stopped(status)
    if (kind !== 'exited' && kind !== 'killed') return
    this.#takeTerminal()
    this.#pid = null
    this.#ended(kind === 'exited' ? { code: status, signal: null } : { code: 128 + status, signal: nameOf(status) })
  }

  /** The terminal has stopped the program: this process stops too, so that the shell notices, and continues with it. */
  #stopped(status: number): void {
    if (this.#place === 'together' || this.#pid === null || !STOPS.includes(status)) return
    // No process could continue a session leader, which would hang for ever.
    if (this.#calls.session() === process.pid) this.#goOn()
    else {
      this.#takeTerminal()
      process.kill(0, 'SIGTSTP')
    }
  }

  #goOn(): void {
    if (this.#pid === null || this.#place === 'together') return
    this.#giveTerminal()
    kill(-this.#pid, 'SIGCONT')
  }

  #giveTerminal(): void {
    if (this.#tty === null || this.#pid === null || this.#place !== 'foreground') return
    if (this.#calls.foreground(this.#tty) !== this.#calls.ownGroup()) return
    this.#moveTerminal(this.#pid)
    // It may have been stopped because it used the terminal before it had it.
    kill(-this.#pid, 'SIGCONT')
  }

  #takeTerminal(): void {
    if (this.#tty === null || this.#place !== 'foreground') return
    if (this.#calls.foreground(this.#tty) === this.#pid) this.#moveTerminal(this.#calls.ownGroup())
  }

  #moveTerminal(group: number): void {
    try {
      this.#calls.setForeground(this.#tty ?? -1, group)
    } catch (error) {
      // The program has exited, or the terminal is gone.
      if (!(error instanceof LibcError)) throw error
    }
  }
}

function terminal(): number | null {
  try {
    return openSync('/dev/tty', fileConstants.O_RDWR | fileConstants.O_NOCTTY)
  } catch {
    return null
  }
}

function placeOf(tty: number | null, calls: ProgramCalls): TerminalPlace {
  if (tty === null) return 'apart'
  const interactive = isatty(0) && isatty(1)
  if (interactive) return 'foreground'
  return calls.foreground(tty) === calls.ownGroup() ? 'together' : 'apart'
}

function cannotStart(program: string, cause: unknown): unknown {
  if (!(cause instanceof LibcError)) return cause
  const absent = cause.code === 'ENOENT'
  const reason = absent ? 'there is no such program in the PATH' : `it cannot be run (${cause.code})`
  return new AgentError('command.failed', `${program}: ${reason}`, { cause, details: { exitCode: absent ? 127 : 126 } })
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has just exited, or changed its user so that this process may not signal it.
  }
}

export function numberOf(signal: NodeJS.Signals): number {
  return constants.signals[signal]
}

function nameOf(number: number): NodeJS.Signals | null {
  const found = Object.entries(constants.signals).find(([, value]) => value === number)
  return found ? (found[0] as NodeJS.Signals) : null
}
