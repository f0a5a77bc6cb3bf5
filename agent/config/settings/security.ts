import { Secret } from '../../crypto/secret.js'
import { bool, optional, path, setting, textual } from '../setting.js'

const KEY_BYTES = 32
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/
const REMEDY = `make one with: head -c ${KEY_BYTES} /dev/urandom | base64`

const encryptionKey = textual((text) => {
  if (!BASE64.test(text)) return ['is not base64', REMEDY]
  const key = new Uint8Array(Buffer.from(text, text.includes('-') || text.includes('_') ? 'base64url' : 'base64'))
  if (key.length !== KEY_BYTES) return [`decodes to ${key.length} bytes instead of ${KEY_BYTES}`, REMEDY]
  if (new Set(key).size === 1) return ['repeats a single byte, so it is not a random key', REMEDY]
  return { value: new Secret(key) }
})

export const securitySettings = {
  'security.cache_encryption_key': optional(encryptionKey, {
    kind: 'base64 of 32 bytes',
    secret: true,
    defaultIs: 'generated at the first start in `<data_dir>/cache.key`',
    reload: 'restart',
    what: 'AES-256-GCM key of the sealed cache. A key in `data_dir` protects copies of the cache only, not against whoever can read `data_dir`.',
  }),
  'security.cache_encryption_key_previous': optional(encryptionKey, {
    kind: 'base64 of 32 bytes',
    secret: true,
    defaultIs: 'none',
    reload: 'restart',
    what: 'The previous key: the agent still reads what it sealed, and seals it again with the present key.',
  }),
  'security.cache_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: '`<data_dir>/cache/svid.cache`',
    reload: 'restart',
    what: 'File of the sealed cache.',
  }),
  'security.revoke_removed': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'live',
    what: 'The agent revokes SVIDs of removed entries at the server, with the lowest priority. Servers of the workspace API forget an SVID with its entry: there an administrator must revoke it before deleting the entry.',
  }),
}
