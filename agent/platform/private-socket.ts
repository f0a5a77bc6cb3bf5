import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'

/** Others cannot connect. */
const MODE = 0o600

/**
 * Lets the server listen on a Unix socket that is its user's alone from its first moment. For a directory that is ours and
 * locked: a socket that is there was left by an earlier run, and is replaced. What is no socket stays, and is an error.
 * The library removes the socket when the server closes, in a system call that holds up everything where the disk hangs.
 */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) unlinkSync(path)
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve)
    server.once('error', reject)
  })
  // The socket is made before `listen` returns: no other file of ours is made under this umask.
  const umask = process.umask(0o777 & ~MODE)
  try {
    server.listen(path)
  } finally {
    process.umask(umask)
  }
  await listening
  chmodSync(path, MODE)
}
