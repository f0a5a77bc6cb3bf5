import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/**
 * Who may see the page: the browser that brought the token of the address first. The token is exchanged for a cookie, and is
 * good for nothing afterwards: who finds the address in a history or a list of processes comes too late.
 */
export class PageAccess {
  /** Null once it was used. */
  #token: string | null = randomBytes(32).toString('base64url')
  readonly #session = randomBytes(32).toString('base64url')

  /** For the address that is printed. */
  get token(): string | null {
    return this.#token
  }

  /** The value of `Set-Cookie`; null where the token is another one or was used before. */
  exchange(token: string, port: number): string | null {
    if (this.#token === null || !same(token, this.#token)) return null
    this.#token = null
    return `${cookieName(port)}=${this.#session}; Path=/; HttpOnly; SameSite=Strict`
  }

  /** Whether a request's `Cookie` is of the browser that came first. */
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
