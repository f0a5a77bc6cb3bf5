import { statSync } from 'node:fs'
import { errnoOf } from './io-error.js'

/** Why nobody can ever listen at a path: what is there is no socket. Null for a socket, and where nothing is there yet. */
export function socketFault(path: string): string | null {
  try {
    const facts = statSync(path)
    if (facts.isSocket()) return null
    return facts.isDirectory() ? `${path} is a directory; name the socket in it` : `${path} is a file, not a socket`
  } catch (error) {
    // Missing, or not ours to look at: whoever connects is told.
    if (errnoOf(error) === null) throw error
    return null
  }
}
