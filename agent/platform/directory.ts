import { closeSync, constants, fchmodSync, fsyncSync, lstatSync, mkdirSync, openSync, readlinkSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve, sep } from 'node:path'
import { AgentError } from '../errors.js'
import { errnoOf, ioError } from './io-error.js'
import { type AclWriters, aclWriters } from './posix-acl.js'

/** The user and group of the agent. Only root and this user are trusted. */
export interface Self {
  readonly uid: number
  readonly gid: number
}

/** What `lstat` says of one part of a path. */
export interface Part {
  readonly path: string
  readonly kind: 'directory' | 'symlink' | 'other'
  readonly uid: number
  readonly gid: number
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number
  /** The users and groups that its POSIX ACL allows to write, besides the mode; null or absent: no ACL. */
  readonly acl?: AclWriters | null
}

/**
 * Whether another user could tamper with the content of a directory:
 * * `safe`: only root and we can.
 * * `missing`: `existing` (free of symlinks) is safe to create the `rest` in.
 * * `writable`: its ancestors are safe, but others can write to the directory itself.
 * * `unsafe`: it must not be used, because of the part `at`.
 */
export type DirectorySafety =
  | { readonly state: 'safe'; readonly directory: Part }
  | { readonly state: 'missing'; readonly existing: string; readonly rest: readonly string[] }
  | { readonly state: 'writable'; readonly directory: Part; readonly ours: boolean; readonly sticky: boolean }
  | { readonly state: 'unsafe'; readonly at: string; readonly reason: string }

const MAX_SYMLINKS = 40
const STICKY = 0o1000
/** The id that no user has. */
const UNKNOWN_ID = 0xffffffff
const ABOVE_MODE = 0o755
/** Errors of file systems that cannot sync a directory (FUSE, 9p), or of a directory that is writable but not readable. */
export const UNSYNCABLE: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'ENOSYS', 'EACCES', 'EBADF'])

/** The user that this process runs as. */
export function self(): Self {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
}

/**
 * True if a user other than root and us may create, rename and remove entries. A group counts as others unless it
 * is root's or our private one (the same number as our user, as distributions give to each user).
 */
export function writableByOthers(part: Part, me: Self): boolean {
  if ((part.mode & 0o002) !== 0) return true
  // With an ACL the group bits are its mask: without `w` there, no entry of the ACL grants write.
  if ((part.mode & 0o020) === 0) return false
  return !trustedGroup(part.gid, me) || writableByAcl(part, me)
}

function trustedGroup(gid: number, me: Self): boolean {
  return gid === 0 || (gid === me.gid && me.gid === me.uid)
}

function writableByAcl({ acl }: Part, me: Self): boolean {
  if (!acl) return false
  return acl.users.some((uid) => uid !== 0 && uid !== me.uid) || acl.groups.some((gid) => !trustedGroup(gid, me))
}

/** Exceptions from the rule. */
interface Tolerance {
  /**
   * A group may write to the directories above (Ubuntu's `/var/log`). Its members can then remove the content, or replace
   * it by files of root or of ours; acceptable only for files that may be written anywhere.
   */
  readonly groupsAbove?: boolean
  /** Creates no parents: if the parent is missing, it was removed. */
  readonly alone?: boolean
}

/** Why the content of this directory cannot be trusted, or null. Pure. */
export function faultOfParent(parent: Part, me: Self, { groupsAbove = false }: Tolerance = {}): string | null {
  const open = groupsAbove ? (parent.mode & 0o002) !== 0 || aclUsers(parent, me) : writableByOthers(parent, me)
  // In a sticky directory (/tmp) only the owner of an entry can replace it, so the entry's owner is checked.
  if (!open || (parent.mode & STICKY) !== 0) return null
  return `others can write to it (mode ${octal(parent)}${hasAcl(parent, me)}); remove their write permission`
}

/** Why the owner of a directory, symlink or file makes it untrusted, or null. Pure. */
export function faultOfOwner(part: Pick<Part, 'uid'>, me: Self): string | null {
  if (part.uid === 0 || part.uid === me.uid) return null
  return `it belongs to uid ${part.uid}, neither to root nor to the agent (uid ${me.uid})`
}

/**
 * Checks a directory and each of its ancestors. Symlinks on the way that belong to root or to us (`/var/run`) are followed
 * and their targets checked; the directory itself must not be a symlink. Errors: `file.io`.
 */
export function checkDirectory(path: string, me: Self = self(), tolerance: Tolerance = {}): DirectorySafety {
  const waiting = partsOf(resolve(path))
  let here = directoryAt(sep)
  const fault = faultOfOwner(here, me)
  if (fault !== null) return { state: 'unsafe', at: here.path, reason: fault }
  for (let symlinks = 0; ; ) {
    const name = waiting.shift()
    if (name === undefined) return writableOrSafe(here, me)
    const open = faultOfParent(here, me, tolerance)
    if (open !== null) return { state: 'unsafe', at: here.path, reason: open }
    const next = look(join(here.path, name))
    if (next === null) return { state: 'missing', existing: here.path, rest: [name, ...waiting] }
    const foreign = faultOfOwner(next, me)
    if (foreign !== null) return { state: 'unsafe', at: next.path, reason: foreign }
    if (next.kind === 'other') return { state: 'unsafe', at: next.path, reason: 'it is not a directory' }
    if (next.kind === 'directory') here = next
    else if (waiting.length === 0) {
      return { state: 'unsafe', at: next.path, reason: 'it is a symlink; name the directory that it points to' }
    } else {
      if (++symlinks > MAX_SYMLINKS) return { state: 'unsafe', at: next.path, reason: 'it is part of a symlink loop' }
      const target = readlinkSync(next.path)
      if (isAbsolute(target)) here = directoryAt(sep)
      waiting.unshift(...partsOf(target))
    }
  }
}

/**
 * Creates a directory with exactly `mode`, whatever the umask, and missing parents with 0755, because others may have to
 * traverse them. An existing directory keeps its mode. Errors: `file.unsafe` if another user could tamper with it,
 * `file.io`.
 */
export function ensureDirectory(path: string, mode: number, me: Self = self(), making: Tolerance = {}): void {
  const before = checkDirectory(path, me, making)
  if (before.state === 'missing') {
    let made = before.existing
    if (making.alone === true && before.rest.length > 1) throw goneAbove(path, made)
    for (const [index, name] of before.rest.entries()) {
      made = join(made, name)
      makeOne(made, index === before.rest.length - 1 ? mode : ABOVE_MODE)
    }
  }
  const safety = before.state === 'missing' ? checkDirectory(path, me, making) : before
  if (safety.state !== 'safe') throw unsafeDirectory(path, safety)
}

/** A directory held by its descriptor: `inside` leads to it even if its name is replaced. */
export interface HeldDirectory extends Disposable {
  readonly fd: number
  /** Its former mode if permissions were removed, else null. */
  readonly tightenedFrom: number | null
  /** A path to a name in it. */
  inside(name: string): string
}

/** How a directory is held. */
export interface Holding extends Tolerance {
  /** Its mode if it is created. */
  readonly mode: number
  /**
   * Removes write permission of others from a directory of ours instead of refusing it; not from a sticky one, which is
   * shared on purpose.
   */
  readonly tighten?: boolean
}

/**
 * Creates a missing directory, holds it, and checks again what it holds, because the name may have been replaced. Errors:
 * `file.unsafe` if another user could tamper with it, `file.io`.
 */
export function holdDirectory(path: string, holding: Holding, me: Self = self()): HeldDirectory {
  const before = checkDirectory(path, me, holding)
  const loose = holding.tighten === true && before.state === 'writable' && before.ours && !before.sticky
  if (!loose) ensureDirectory(path, holding.mode, me, holding)
  const fd = openDirectory(path)
  const close = () => closeSync(fd)
  try {
    const held = directoryAt(`/proc/self/fd/${fd}/.`)
    const ours = loose ? held.uid === me.uid : faultOfOwner(held, me) === null && !writableByOthers(held, me)
    if (!ours) throw new AgentError('file.unsafe', `refusing ${path}: the directory changed while it was being checked`)
    if (loose) fchmodSync(fd, held.mode & ~0o022)
    const tightenedFrom = loose ? held.mode : null
    return { fd, tightenedFrom, inside: (name) => `/proc/self/fd/${fd}/${name}`, [Symbol.dispose]: close }
  } catch (error) {
    close()
    throw ioError('open the directory', path, error)
  }
}

function openDirectory(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  } catch (error) {
    throw ioError('open the directory', path, error)
  }
}

/** The `file.unsafe` error for a directory that is not `safe`. */
function unsafeDirectory(path: string, safety: Exclude<DirectorySafety, { state: 'safe' }>): AgentError {
  const [at, reason] =
    safety.state === 'unsafe'
      ? [safety.at, safety.reason]
      : safety.state === 'writable'
        ? [
            safety.directory.path,
            `others can write to it (mode ${octal(safety.directory)}${hasAcl(safety.directory, self())}); chmod go-w it`,
          ]
        : [path, 'it disappeared while it was being checked']
  const message = `refusing ${path}${at === path ? '' : ` because of ${at}`}: ${reason}`
  return new AgentError('file.unsafe', message, { details: { path, at, state: safety.state } })
}

function goneAbove(path: string, left: string): AgentError {
  const text = `cannot create ${path}: of the directories above it only ${left} is left; restart the agent`
  return new AgentError('file.io', text, { details: { path, errno: 'ENOENT' } })
}

function writableOrSafe(directory: Part, me: Self): DirectorySafety {
  if (!writableByOthers(directory, me)) return { state: 'safe', directory }
  return {
    state: 'writable',
    directory,
    ours: directory.uid === me.uid,
    sticky: (directory.mode & STICKY) !== 0,
  }
}

function look(path: string): Part | null {
  try {
    const stat = lstatSync(path)
    const kind = stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'other'
    const part: Part = { path, kind, uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o7777 }
    return kind === 'directory' && (stat.mode & 0o020) !== 0 ? { ...part, acl: aclOf(path) } : part
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw ioError('stat', path, error)
  }
}

/** An ACL that cannot be read counts as one that allows everyone to write. */
function aclOf(path: string): AclWriters | null {
  try {
    return aclWriters(path)
  } catch {
    return { users: [UNKNOWN_ID], groups: [] }
  }
}

function aclUsers(part: Part, me: Self): boolean {
  return (part.acl?.users ?? []).some((uid) => uid !== 0 && uid !== me.uid)
}

function hasAcl(part: Part, me: Self): string {
  return (part.mode & 0o020) !== 0 && writableByAcl(part, me) ? ', and its ACL, see getfacl' : ''
}

function directoryAt(path: string): Part {
  const part = look(path)
  if (part === null) throw ioError('stat', path, null)
  return part
}

function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode })
    const opened = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    try {
      // The umask removes bits from the mode of mkdir; restore them.
      fchmodSync(opened, mode)
    } finally {
      closeSync(opened)
    }
    syncDirectory(dirname(path))
  } catch (error) {
    // Another process may have created it meanwhile; the check that follows covers that.
    if (errnoOf(error) !== 'EEXIST') throw ioError('create the directory', path, error)
  }
}

/** Makes new names in a directory survive a power failure. Best effort: some file systems cannot. */
export function syncDirectory(path: string): void {
  let opened: number | null = null
  try {
    opened = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
    fsyncSync(opened)
  } catch (error) {
    if (!UNSYNCABLE.has(errnoOf(error) ?? '')) throw ioError('sync the directory', path, error)
  } finally {
    if (opened !== null) closeSync(opened)
  }
}

function partsOf(path: string): string[] {
  return path.split(sep).filter((part) => part !== '' && part !== '.')
}

function octal(part: Part): string {
  return part.mode.toString(8).padStart(4, '0')
}
