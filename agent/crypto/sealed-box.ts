import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { AgentError } from '../errors.js'
import type { Secret } from './secret.js'

/** A box opens only for the account, node and purpose that it was sealed for. */
export interface BoxContext {
  readonly account: string
  readonly nodeId: string
  readonly purpose: string
}

const MAGIC = Buffer.from('ICPB')
const VERSION = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEADER_BYTES = MAGIC.length + 1 + NONCE_BYTES
const MAX_BYTES = 64 * 1_048_576

/**
 * Encrypts with AES-256-GCM under a fresh random nonce; header and context are authenticated. Layout: `ICPB`, version 1, 12
 * bytes of nonce, ciphertext, 16 bytes of tag. At most 64 MiB, else `file.too_large`. The key has 32 bytes; random nonces
 * are safe for 2^32 boxes per key, which is 136 years at one box a second.
 */
export function seal(key: Secret<Uint8Array>, plaintext: Uint8Array, context: BoxContext): Buffer {
  if (plaintext.length > MAX_BYTES) {
    const sizes = `cannot seal ${plaintext.length} bytes (${context.purpose}), more than ${MAX_BYTES}`
    throw new AgentError('file.too_large', `${sizes}: check the registration entries of this node on the server`)
  }
  const header = Buffer.concat([MAGIC, Buffer.of(VERSION), randomBytes(NONCE_BYTES)])
  const cipher = createCipheriv('aes-256-gcm', keyBytes(key), header.subarray(-NONCE_BYTES))
  cipher.setAAD(associatedData(header, context))
  return Buffer.concat([header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** Opens a box. Throws `cache.rejected` if it is cut off, changed, or of another key, version or context. */
export function open(key: Secret<Uint8Array>, box: Uint8Array, context: BoxContext): Buffer {
  if (box.length < HEADER_BYTES + TAG_BYTES) throw rejected('it is too short')
  if (box.length > HEADER_BYTES + MAX_BYTES + TAG_BYTES) throw rejected('it is too long')
  const header = box.subarray(0, HEADER_BYTES)
  if (!MAGIC.equals(header.subarray(0, MAGIC.length))) throw rejected('it is not a sealed box')
  if (header[MAGIC.length] !== VERSION) throw rejected(`its version is not ${VERSION}`)
  const decipher = createDecipheriv('aes-256-gcm', keyBytes(key), header.subarray(-NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(associatedData(header, context))
  decipher.setAuthTag(box.subarray(-TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(box.subarray(HEADER_BYTES, -TAG_BYTES)), decipher.final()])
  } catch (cause) {
    throw rejected('it was changed, or sealed with another key or for another agent', { cause })
  }
}

/** Each field with its length before it, so that different contexts give different bytes. */
function associatedData(header: Uint8Array, { account, nodeId, purpose }: BoxContext): Buffer {
  const fields = [account, nodeId, purpose].map((field) => {
    const bytes = Buffer.from(field)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  })
  return Buffer.concat([header, ...fields])
}

function keyBytes(key: Secret<Uint8Array>): Uint8Array {
  const bytes = key.reveal()
  if (bytes.length !== 32) throw new TypeError('a sealing key has 32 bytes')
  return bytes
}

function rejected(reason: string, options: { cause?: unknown } = {}): AgentError {
  return new AgentError('cache.rejected', `cannot open the sealed box: ${reason}`, options)
}
