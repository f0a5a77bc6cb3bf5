import { constants } from 'node:os'
import { type Koffi, LibcError, nativeBinding } from './koffi-libc.js'
import { ERRNO, F_SETFD, SIG_IGN, SIGRTMAX } from './linux-abi.js'

/** A child process exited, was stopped, or was continued. */
export interface ChildEvent {
  readonly pid: number
  readonly kind: 'exited' | 'killed' | 'stopped' | 'continued'
  /** The exit code, or the number of the signal. */
  readonly status: number
}

/** Calls to run a program that Node's child_process lacks. Errors: LibcError. */
export interface ProgramCalls {
  /**
   * Starts a program, found by PATH, with this process's standard streams and default signal handling. `ownGroup`: it leads
   * a process group of its own from its first instruction on.
   */
  spawn(command: readonly string[], env: readonly string[], ownGroup: boolean): number
  /** The next change of this child, or null; reaps it if it has exited. */
  childEvent(pid: number): ChildEvent | null
  /** The pid of an exited child that is not reaped yet, without reaping it; 0: none. */
  endedChild(): number
  reap(pid: number): void
  ownGroup(): number
  /** The session that this process is in. */
  session(): number
  /** The foreground group of the terminal; null if it is not our terminal. */
  foreground(tty: number): number | null
  setForeground(tty: number, group: number): void
  ignoreSignal(number: number): void
}

/** Large enough for posix_spawnattr_t, posix_spawn_file_actions_t of glibc and musl. */
const SPAWN_SIZE = 512
const SIGSET_SIZE = 128
const SPAWN_SETPGROUP = 0x02
const SPAWN_SETSIGDEF = 0x04
const SPAWN_SETSIGMASK = 0x08

const P_ALL = 0
const P_PID = 1
const WNOHANG = 0x1
const WSTOPPED = 0x2
const WEXITED = 0x4
const WCONTINUED = 0x8
const WNOWAIT = 0x0100_0000
/** `siginfo_t` of 64-bit systems: offsets of code, pid and status. */
const SIGINFO_SIZE = 128
const CODE_AT = 8
const PID_AT = 16
const STATUS_AT = 24
const KINDS: Readonly<Record<number, ChildEvent['kind']>> = {
  1: 'exited',
  2: 'killed',
  3: 'killed',
  5: 'stopped',
  6: 'continued',
}

const F_GETFL = 3
const F_SETFL = 4
const O_NONBLOCK = 0o4000

let loaded: ProgramCalls | undefined

/** Loaded once. Throws the errors of loading the native binding. */
export function loadProgramCalls(): ProgramCalls {
  loaded ??= bind(nativeBinding())
  return loaded
}

function bind(koffi: Koffi): ProgramCalls {
  const c = koffi.load(null)
  const spawnp = c.func('posix_spawnp', 'int', ['void *', 'str', 'void *', 'void *', 'const char **', 'const char **'])
  const init = c.func('posix_spawnattr_init', 'int', ['void *'])
  const destroy = c.func('posix_spawnattr_destroy', 'int', ['void *'])
  const setFlags = c.func('posix_spawnattr_setflags', 'int', ['void *', 'short'])
  const setGroup = c.func('posix_spawnattr_setpgroup', 'int', ['void *', 'int'])
  const setDefault = c.func('posix_spawnattr_setsigdefault', 'int', ['void *', 'void *'])
  const setMask = c.func('posix_spawnattr_setsigmask', 'int', ['void *', 'void *'])
  const emptySet = c.func('sigemptyset', 'int', ['void *'])
  const addToSet = c.func('sigaddset', 'int', ['void *', 'int'])
  const waitid = c.func('waitid', 'int', ['int', 'int', 'void *', 'int'])
  const fcntl = c.func('fcntl', 'int', ['int', 'int', 'int'])
  const getpgrp = c.func('getpgrp', 'int', [])
  const getsid = c.func('getsid', 'int', ['int'])
  const tcgetpgrp = c.func('tcgetpgrp', 'int', ['int'])
  const tcsetpgrp = c.func('tcsetpgrp', 'int', ['int', 'int'])
  const signal = c.func('signal', 'intptr_t', ['int', 'intptr_t'])

  const checked = (call: string, result: number): number => {
    if (result < 0) throw new LibcError(call, koffi.errno())
    return result
  }
  const info = Buffer.alloc(SIGINFO_SIZE)
  /** False if there is no such child, or no change of it. */
  const wait = (type: number, id: number, options: number): boolean => {
    info.fill(0)
    for (;;) {
      if (waitid(type, id, info, options | WNOHANG) === 0) return info.readInt32LE(PID_AT) !== 0
      if (koffi.errno() === ERRNO.ECHILD) return false
      if (koffi.errno() !== ERRNO.EINTR) throw new LibcError('waitid', koffi.errno())
    }
  }

  return {
    spawn(command, env, ownGroup) {
      const attributes = Buffer.alloc(SPAWN_SIZE)
      const signals = Buffer.alloc(SIGSET_SIZE)
      const none = Buffer.alloc(SIGSET_SIZE)
      const pid = Buffer.alloc(4)
      for (const fd of [0, 1, 2]) {
        // Node makes its standard streams close-on-exec and non-blocking; the program would share the latter.
        fcntl(fd, F_SETFD, 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) & ~O_NONBLOCK)
      }
      emptySet(none)
      emptySet(signals)
      for (let number = 1; number <= SIGRTMAX; number++) {
        if (number !== constants.signals.SIGKILL && number !== constants.signals.SIGSTOP) addToSet(signals, number)
      }
      init(attributes)
      try {
        setFlags(attributes, SPAWN_SETSIGDEF | SPAWN_SETSIGMASK | (ownGroup ? SPAWN_SETPGROUP : 0))
        setGroup(attributes, 0)
        setDefault(attributes, signals)
        setMask(attributes, none)
        const failed = spawnp(pid, command[0], null, attributes, [...command, null], [...env, null])
        if (failed !== 0) throw new LibcError('posix_spawnp', failed)
        return pid.readInt32LE()
      } finally {
        destroy(attributes)
      }
    },
    childEvent(pid) {
      if (!wait(P_PID, pid, WEXITED | WSTOPPED | WCONTINUED)) return null
      const kind = KINDS[info.readInt32LE(CODE_AT)]
      return kind === undefined ? null : { pid, kind, status: info.readInt32LE(STATUS_AT) }
    },
    endedChild: () => (wait(P_ALL, 0, WEXITED | WNOWAIT) ? info.readInt32LE(PID_AT) : 0),
    reap: (pid) => void wait(P_PID, pid, WEXITED),
    ownGroup: () => getpgrp(),
    session: () => checked('getsid', getsid(0)),
    foreground(tty) {
      const group = tcgetpgrp(tty)
      return group < 0 ? null : group
    },
    setForeground: (tty, group) => void checked('tcsetpgrp', tcsetpgrp(tty, group)),
    ignoreSignal: (number) => void signal(number, SIG_IGN),
  }
}
