import type { AttestorResult, Note, WorkloadAttestor } from '../../agent/attestation/attestor.js'
import { type Caller, sameExecutable } from '../../agent/attestation/caller.js'
import type { Kernel, OpenExecutable } from '../../agent/ports/kernel.js'
import { subjectOf } from '../shared/subject.js'
import type { Accounts } from './accounts.js'
import type { ExecutableDigests } from './executable.js'

export interface UnixWorkloadOptions {
  readonly kernel: Pick<Kernel, 'host' | 'ownCgroup'>
  readonly accounts: Pick<Accounts, 'user' | 'group'>
  readonly digests: Pick<ExecutableDigests, 'digest'>
  /** Whether any entry requires `unix:sha256`; otherwise executables are not read. */
  readonly digestWanted: () => boolean
  /** Also `unix:process`, the name that a process gives itself. */
  readonly forgeable: boolean
}

const NAME = 'unix'
/** The value of ids that the agent's user namespace does not map. */
const OVERFLOW_ID = 65_534
const MAX_GROUPS = 1_024

/** Selectors from the kernel: user, groups and executable. docs/attestors/unix.md */
export class UnixWorkloadAttestor implements WorkloadAttestor {
  readonly name = NAME
  readonly platforms = [NAME]

  constructor(private readonly options: UnixWorkloadOptions) {}

  /** Throws `caller.exited` if the process exits meanwhile. */
  async attest(caller: Caller, signal: AbortSignal): Promise<AttestorResult> {
    const gathered = new Gathered()
    gathered.add(`user ${caller.uid}, group ${caller.gid} and ${caller.groups.length} more, by the connection`)
    this.#ids(caller, gathered)
    if (this.options.forgeable) gathered.set('process', commOf(caller.process.read('stat')))
    using program = programOf(caller, gathered)
    const hosts = this.#isOfHost(caller, 'mnt', gathered)
    if (hosts && program) path(program, gathered)
    // In another user namespace ids have other meanings, and in another mount namespace names have.
    const names = hosts && this.#isOfHost(caller, 'user', gathered)
    await Promise.all([names && this.#names(caller, gathered), this.#digest(caller, program, signal, gathered)])
    return { selectors: gathered.selectors, unavailable: gathered.unavailable, notes: gathered.notes }
  }

  #ids({ uid, gid, groups }: Caller, gathered: Gathered): void {
    if (this.#isKnown(uid)) gathered.set('uid', String(uid))
    else gathered.add('unix:uid left out: the user is not mapped in the user namespace of the agent')
    if (this.#isKnown(gid)) gathered.set('gid', String(gid))
    else gathered.add('unix:gid left out: the group is not mapped in the user namespace of the agent')
    for (const group of groups.slice(0, MAX_GROUPS)) {
      if (this.#isKnown(group)) gathered.set(`supplementary_gid:${group}`, 'true')
    }
    if (groups.length > MAX_GROUPS) gathered.add(`${groups.length - MAX_GROUPS} supplementary groups left out`)
  }

  #isKnown(id: number): boolean {
    return this.options.kernel.host.allIdsMapped || id !== OVERFLOW_ID
  }

  #isOfHost({ process }: Caller, kind: 'mnt' | 'user', gathered: Gathered): boolean {
    const own = process.namespace(kind)
    if (own !== null && own === this.options.kernel.host[kind]) return true
    const why = own === null ? 'cannot be read (SYS_PTRACE)' : "is not the host's"
    gathered.add(`${kind === 'mnt' ? 'path and names' : 'names'} left out: its ${kind} namespace ${why}`)
    return false
  }

  async #names({ uid, gid }: Caller, gathered: Gathered): Promise<void> {
    const [user, group] = await Promise.all([this.options.accounts.user(uid), this.options.accounts.group(gid)])
    if (user === null) gathered.add(`no name: /etc/passwd of the host does not have user ${uid}`)
    else for (const key of ['user', 'username']) gathered.set(key, user)
    if (group === null) gathered.add(`no group name: /etc/group of the host does not have group ${gid}`)
    else for (const key of ['group', 'groupname']) gathered.set(key, group)
  }

  async #digest(
    caller: Caller,
    program: OpenExecutable | null,
    signal: AbortSignal,
    gathered: Gathered,
  ): Promise<void> {
    if (!program) return
    if (!this.options.digestWanted()) {
      gathered.add('unix:sha256 not computed: no entry asks for it')
      return
    }
    const { digests, kernel } = this.options
    // By container first: containers that run as root are still separate subjects.
    const subject = subjectOf(caller, kernel.ownCgroup)
    const digest = await digests.digest(program, subject, signal)
    if (digest.kind === 'digest') {
      gathered.set('sha256', digest.sha256)
      return
    }
    gathered.add(`unix:sha256 ${digest.kind}: ${digest.reason}`)
    // A digest that is not read yet is unavailable, so that a caller of an entry that requires it waits and is not denied.
    if (digest.kind === 'unknown') gathered.unavailable.push(NAME)
  }
}

/** The present executable, if it is the one at connect; a process may run another one between two checks. */
function programOf({ process, executable }: Caller, gathered: Gathered): OpenExecutable | null {
  const program = process.openExecutable()
  if (program && executable && sameExecutable(program.id, executable)) return program
  program?.[Symbol.dispose]()
  const why = program ? 'the process runs another program than when it connected' : 'it cannot be read (SYS_PTRACE)'
  gathered.add(`unix:path and unix:sha256 of the executable left out: ${why}`)
  return null
}

function path(program: OpenExecutable, gathered: Gathered): void {
  const path = program.path()
  if (path === null) {
    gathered.add("unix:path left out: unreadable, or the program's mount is not one of the host's")
    return
  }
  gathered.set('path', path)
  gathered.set('exe', path)
}

class Gathered {
  readonly selectors = new Map<string, string>()
  readonly unavailable: string[] = []
  readonly notes: Note[] = []

  set(key: string, value: string): void {
    this.selectors.set(`${NAME}:${key}`, value)
  }

  add(text: string): void {
    this.notes.push({ attestor: NAME, text })
  }
}

/** The second field of `/proc/PID/stat`: all between the first and the last parenthesis. */
function commOf(stat: string): string {
  return stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
}
