import { loadLibc } from './koffi-libc.js'

/** Users and groups that an ACL allows to write, besides the owner, the owning group and others. */
export interface AclWriters {
  readonly users: readonly number[]
  readonly groups: readonly number[]
}

const NAME = 'system.posix_acl_access'
const VERSION = 2
const HEADER = 4
const ENTRY = 8
const TAG = { user: 0x02, group: 0x08, mask: 0x10 } as const
const WRITE = 2

/** The users and groups that the POSIX ACL of a file or directory allows to write; null: no ACL. Throws a LibcError. */
export function aclWriters(path: string): AclWriters | null {
  const list = loadLibc().getxattr(path, NAME)
  return list && writersOf(list)
}

/**
 * Parses `struct posix_acl_xattr_header` and its entries: tag, permissions, id. An entry grants only permissions that the
 * mask has. Throws a RangeError for an unknown version.
 */
export function writersOf(list: Buffer): AclWriters {
  if (list.length < HEADER || list.readUInt32LE(0) !== VERSION) throw new RangeError('an ACL of an unknown form')
  const users: number[] = []
  const groups: number[] = []
  let masked = false
  for (let at = HEADER; at + ENTRY <= list.length; at += ENTRY) {
    const tag = list.readUInt16LE(at)
    const writes = (list.readUInt16LE(at + 2) & WRITE) !== 0
    const id = list.readUInt32LE(at + 4)
    if (tag === TAG.mask && !writes) masked = true
    else if (tag === TAG.user && writes) users.push(id)
    else if (tag === TAG.group && writes) groups.push(id)
  }
  return masked ? { users: [], groups: [] } : { users, groups }
}
