import { AgentError } from '../errors.js'

/** `icp_service.csr_common_name`. */
export type CommonNamePolicy =
  | { readonly mode: 'auto' }
  | { readonly mode: 'empty' }
  | { readonly mode: 'text'; readonly text: string }

/** Runs an attempt with a common name for its CSR, and with the next one where the PKI may have refused the name. */
export type WithCommonName = <T>(
  attempt: (commonName: string) => Promise<T>,
  options?: {
    /** With a join token only the first name is tried: the failed attempt has used it up. */
    readonly joinToken?: boolean
  },
) => Promise<T>

/**
 * Names that the published PKI roles accept, best first: an e-mail form that no TLS client takes for a host; none, which
 * some servers replace by a name that their role refuses; and a host name.
 */
const CANDIDATES = ['svid@localhost', '', 'localhost'] as const
/** A name that has worked is not doubted before so many answers in a row that do not say why. */
const DOUBT_AFTER = 3
/** Of 502 to 504 the name is not the cause; of these it may be, unless the answer says what was. */
const UNEXPLAINED: ReadonlySet<number> = new Set([400, 422, 500])

/**
 * What is known of one role of the PKI. With `auto` each answer that may be about the name (`icp.cn_refused`, or a 500
 * that does not say why) leads to the next candidate; what worked is remembered. Keep one for the agent's own
 * certificate and one for workloads: they are signed through different roles. A server may also wrap what its CA did
 * into a 400.
 */
export function createCommonName(policy: CommonNamePolicy): WithCommonName {
  if (policy.mode !== 'auto') return (attempt) => attempt(policy.mode === 'text' ? policy.text : '')
  let proven: string | null = null
  let failures = 0

  return async (attempt, options = {}) => {
    const first = proven ?? CANDIDATES[0]
    const others = options.joinToken ? [] : CANDIDATES.filter((candidate) => candidate !== first)
    let refusal: unknown
    for (const name of [first, ...others]) {
      try {
        const result = await attempt(name)
        proven = name
        failures = 0
        return result
      } catch (error) {
        if (!mayBeTheName(error)) throw error
        if (refusal === undefined || codeIs(error, 'icp.cn_refused')) refusal = error
        if (name === first && proven !== null && !codeIs(error, 'icp.cn_refused') && ++failures < DOUBT_AFTER)
          throw error
      }
    }
    throw refusal
  }
}

/** The same, telling of every name but the first before it is tried: each is one more request. */
export function counting(withCommonName: WithCommonName, another: () => void): WithCommonName {
  return (attempt, options) => {
    let attempts = 0
    return withCommonName((commonName) => {
      if (attempts++ > 0) another()
      return attempt(commonName)
    }, options)
  }
}

function mayBeTheName(error: unknown): boolean {
  if (!(error instanceof AgentError)) return false
  if (error.code === 'icp.cn_refused') return true
  return error.code === 'icp.server_error' && UNEXPLAINED.has(Number(error.details['status']))
}

function codeIs(error: unknown, code: AgentError['code']): boolean {
  return error instanceof AgentError && error.code === code
}
