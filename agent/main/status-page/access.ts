import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/**
 * Access to the page: only for the browser that first presents the token of the address. The token is exchanged for a
 * cookie and is then invalid, so that the address in a history or a process list is useless.
 */
export class PageAccess {
  /** Null after its use. */
  #token: string | null = randomBytes(32).toString('base64url')
  readonly #session = randomBytes(32).toString('base64url')

  /** The token for the printed address. */
  get token(): string | null {
    return this.#token
  }

  /** The value of `Set-Cookie`; null if the token is wrong or was used before. */
  exchange(token: string, port: number): string | null {
    if (this.#token === null || !same(token, this.#token)) return null
    this.#token = null
    return `${cookieName(port)}=${this.#session}; Path=/; HttpOnly; SameSite=Strict`
  }

  /** Whether a request's `Cookie` is that of the admitted browser. */
  admits(cookie: string | undefined, port: number): boolean {
    const name = `${cookieName(port)}=`
    const values = (cookie ?? '').split(';').map((pair) => pair.trim())
    return values.some((pair) => pair.startsWith(name) && same(pair.slice(name.length), this.#session))
  }
}

/** Browsers share cookies between the ports of a host. */
function cookieName(port: number): string {
  return `icp-agent-status-${port}`
}

function same(a: string, b: string): boolean {
  const [one, other] = [a, b].map((text) => createHash('sha256').update(text).digest())
  return one !== undefined && other !== undefined && timingSafeEqual(one, other)
}
