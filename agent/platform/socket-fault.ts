import { statSync } from 'node:fs'
import { errnoOf } from './io-error.js'

/** Why no process can ever listen at a path: it is not a socket. Null for a socket, and if nothing exists there yet. */
export function socketFault(path: string): string | null {
  try {
    const facts = statSync(path)
    if (facts.isSocket()) return null
    return facts.isDirectory() ? `${path} is a directory; name the socket in it` : `${path} is a file, not a socket`
  } catch (error) {
    // Missing or unreadable: connecting reports it.
    if (errnoOf(error) === null) throw error
    return null
  }
}
