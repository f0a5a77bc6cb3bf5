import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/**
 * Reads a file of the system; `unchanged` if it is still the known version (device, inode, size and times). Null if it is
 * missing, unreadable, not a regular file or larger than `maxBytes`. Never rejects.
 */
export async function readVersioned(
  path: string,
  known: string | null,
  maxBytes = 4 * 1_048_576,
): Promise<{ readonly version: string; readonly text: string } | 'unchanged' | null> {
  let file: FileHandle | undefined
  try {
    // Below another root, an absolute symlink would lead to our own file of that name.
    const follow = path.startsWith('/proc/') ? constants.O_NOFOLLOW : 0
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | follow)
    const stat = await file.stat({ bigint: true })
    const version = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`
    if (version === known) return 'unchanged'
    if (!stat.isFile() || stat.size > BigInt(maxBytes)) return null
    const size = Number(stat.size)
    const buffer = Buffer.alloc(size + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null)
      if (bytesRead === 0) break
      length += bytesRead
      // It grew meanwhile, and a partial last line would give a wrong name.
      if (length > size) return null
    }
    return { version, text: buffer.toString('utf8', 0, length) }
  } catch {
    return null
  } finally {
    await file?.close()
  }
}
