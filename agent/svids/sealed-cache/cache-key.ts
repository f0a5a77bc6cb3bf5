import { randomBytes } from 'node:crypto'
import { Secret } from '../../crypto/secret.js'
import { AgentError } from '../../errors.js'
import type { Files } from '../../ports/files.js'

const KEY_BYTES = 32

/** The sealing key, and a previous one that can still open older files. */
export interface CacheKeys {
  readonly current: Secret<Uint8Array>
  readonly previous: Secret<Uint8Array> | null
}

export interface CacheKeyOptions {
  readonly files: Pick<Files, 'read' | 'writeAtomically'>
  /** `security.cache_encryption_key`; null: a key of our own in `path`. */
  readonly configured: Secret<Uint8Array> | null
  readonly previous: Secret<Uint8Array> | null
  /** `<data_dir>/cache.key`. It protects copies of the cache, but not against a reader of the data directory. */
  readonly path: string
}

/**
 * The sealing key: configured, or created at the first start (0600). An existing key file also opens what it sealed
 * before a key was configured. Throws `file.*`, and `cache.rejected` if the file holds no key; the agent does not
 * replace such a file.
 */
export async function cacheKeys({ files, configured, previous, path }: CacheKeyOptions): Promise<CacheKeys> {
  const content = await files.read(path, { maxBytes: 1024, own: true })
  const own = content === null ? null : parse(content, path)
  if (configured) return { current: configured, previous: previous ?? own }
  if (own) return { current: own, previous }
  const fresh = randomBytes(KEY_BYTES)
  await files.writeAtomically(path, Buffer.from(`${fresh.toString('base64')}\n`))
  return { current: new Secret(new Uint8Array(fresh)), previous }
}

function parse(content: Buffer, path: string): Secret<Uint8Array> {
  const key = Buffer.from(content.toString('latin1').trim(), 'base64')
  if (key.length === KEY_BYTES) return new Secret(new Uint8Array(key))
  throw new AgentError(
    'cache.rejected',
    `${path} does not hold a key of 32 bytes: remove it, and the agent creates one`,
  )
}
