import { createHash, timingSafeEqual } from 'node:crypto'
import { AgentError } from '../errors.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import type { Recurring } from './once.js'

const MAX_BYTES = 4096
/** A new token takes effect within this time; the file is read no more often, whatever the number of requests. */
const FRESH_MS = 1000

export interface MetricsTokenOptions {
  readonly path: string
  readonly files: Pick<Files, 'read'>
  readonly clock: Pick<Clock, 'monotonic'>
  readonly recurring: Recurring
}

/** Why metrics are not shown. */
export interface MetricsRefusal {
  readonly code: 401 | 403 | 503
  readonly error: string
}

/** The bearer token for `/metrics`: the content of a file, which may be replaced at any time. */
export class MetricsToken {
  #read: { readonly at: number; readonly digest: Promise<Buffer | null> } | null = null

  constructor(private readonly options: MetricsTokenOptions) {}

  /**
   * The refusal of a request with this Authorization header; null if it has the token. Without a file all are refused.
   */
  async refusal(authorization: string | undefined): Promise<MetricsRefusal | null> {
    const given = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
    if (given === undefined) return { code: 401, error: 'send the token: Authorization: Bearer TOKEN' }
    const expected = await this.#expected()
    if (expected === null) return { code: 503, error: 'the agent cannot read its token file; its log says why' }
    return timingSafeEqual(digestOf(given), expected) ? null : { code: 403, error: 'wrong token' }
  }

  #expected(): Promise<Buffer | null> {
    const now = this.options.clock.monotonic()
    if (this.#read === null || now - this.#read.at >= FRESH_MS) this.#read = { at: now, digest: this.#digest() }
    return this.#read.digest
  }

  async #digest(): Promise<Buffer | null> {
    const { path, files, recurring } = this.options
    try {
      const token = (await files.read(path, { maxBytes: MAX_BYTES }))?.toString('utf8').trim() ?? ''
      if (!/^\S+$/.test(token)) {
        throw new AgentError('file.broken', `${path} holds no token: it is missing, empty or more than one word`, {
          details: { path },
        })
      }
      recurring.succeeded()
      return digestOf(token)
    } catch (error) {
      recurring.failed(error)
      return null
    }
  }
}

/** Digests have equal length, so that the time of the comparison reveals nothing about the token. */
function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
