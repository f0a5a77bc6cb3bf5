import { closeSync, constants, openSync, unlinkSync, writeFileSync } from 'node:fs'
import { ioError } from './io-error.js'

/** Creates a file, readable for this user only; removes it if writing fails. Throws `file.io`. */
export function writeNewFile(path: string, content: Uint8Array): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  let fd: number
  try {
    fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  } catch (cause) {
    throw ioError('create', path, cause)
  }
  try {
    writeFileSync(fd, content)
  } catch (cause) {
    unlinkSync(path)
    throw ioError('write', path, cause)
  } finally {
    closeSync(fd)
  }
}
