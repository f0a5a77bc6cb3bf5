import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'

/** Others cannot connect. */
const MODE = 0o600

/**
 * Makes the server listen on a Unix socket that only its user can connect to from the beginning. For a directory that is
 * ours and locked: an existing socket is left from an earlier run and is replaced; anything else is an error and is not
 * touched. Node removes the socket when the server closes, in a synchronous call that blocks on a hanging disk.
 */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) unlinkSync(path)
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve)
    server.once('error', reject)
  })
  // The socket is created before `listen` returns, so no other file is created with this umask.
  const umask = process.umask(0o777 & ~MODE)
  try {
    server.listen(path)
  } finally {
    process.umask(umask)
  }
  await listening
  chmodSync(path, MODE)
}
