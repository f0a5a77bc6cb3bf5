import type { FileReports } from '../../agent/observability/file-events.js'
import { RereadFile } from '../../agent/observability/reread-file.js'
import type { Files } from '../../agent/ports/files.js'

const MAX_TOKEN_BYTES = 64 * 1024
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/

/** A service-account token that the kubelet replaces while the agent runs. `setting` names it. */
export function tokenFile(
  { files, fileEvents }: { readonly files: Pick<Files, 'read'>; readonly fileEvents: FileReports },
  path: string,
  setting: string,
): RereadFile {
  const recurring = fileEvents.file(path, setting)
  return new RereadFile({ path, maxBytes: MAX_TOKEN_BYTES, files, problemOf: tokenTrouble, recurring })
}

/**
 * Detects a broken token without a request. Not every token is a JWT (`--token-auth-file`), but a JWT is never followed by
 * another kind. JWTs with an equal header, which names the key, have signatures of equal length, unless one is cut off.
 */
export function tokenTrouble(text: string, last: string | null): string | null {
  const token = text.trim()
  if (!/^[\x21-\x7e]+$/.test(token)) return 'holds no token: there are spaces or bytes in it that no token has'
  const before = last?.trim() ?? ''
  if (!JWT.test(before)) return null
  if (!JWT.test(token)) return 'holds no whole JWT, and held one before'
  const [header, , signature] = token.split('.')
  const [headerBefore, , signatureBefore] = before.split('.')
  const cut = header === headerBefore && signature?.length !== signatureBefore?.length
  return cut ? 'holds a JWT whose signature is cut off' : null
}
