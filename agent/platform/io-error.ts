import { AgentError } from '../errors.js'

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free some space',
  EDQUOT: 'the disk quota is used up; raise it or free some space',
  EROFS: 'the file system is read-only; use a path on a writable volume',
  EACCES: 'permission is denied; check the owner and mode of it and of its directories',
  EPERM: 'the operation is not permitted; check the owner, mode and attributes',
  EIO: 'the disk reports an error; check the hardware and the kernel log',
  EISDIR: 'it is a directory; name a file',
  ENOTDIR: 'a part of the path is not a directory',
  ENOENT: 'there is no such file or directory',
  EEXIST: 'it exists already',
  ENAMETOOLONG: 'the path is too long; use a shorter one',
  EMFILE: 'the process has too many open files; raise its limit (LimitNOFILE)',
  ENFILE: 'the machine has too many open files',
  EBUSY: 'it is in use, perhaps as a mount point; use a directory above it',
  ELOOP: 'it is a symlink, which is never followed here; put the file itself in its place',
}

/** The errno name of an error of node:fs (`ENOSPC`), or null. */
export function errnoOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return null
  return error.code
}

/** A `file.io` error with what went wrong and what to do: `cannot write /x: the disk is full (ENOSPC); …`. */
export function ioError(action: string, path: string, error: unknown): AgentError {
  if (error instanceof AgentError) return error
  const errno = errnoOf(error)
  const reason = (errno === null ? undefined : REASONS[errno]) ?? 'the system call failed'
  return new AgentError('file.io', `cannot ${action} ${path}: ${reason} (${errno ?? 'no errno'})`, {
    cause: error,
    details: { path, ...(errno === null ? {} : { errno }) },
  })
}
