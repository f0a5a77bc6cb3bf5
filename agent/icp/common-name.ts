import { X509Certificate } from 'node:crypto'
import { isError } from '../errors.js'
import type { Clock } from '../ports/clock.js'

/** `icp_service.csr_common_name`. */
export type CommonNamePolicy =
  | { readonly mode: 'auto' }
  | { readonly mode: 'empty' }
  | { readonly mode: 'text'; readonly text: string }

/** Runs an attempt with a common name for its CSR, and with the next one if the PKI may have refused the name. */
export type WithCommonName = <T>(
  attempt: (commonName: string) => Promise<T>,
  options?: {
    /** With a join token only the first name is tried: the failed attempt has used it up. */
    readonly joinToken?: boolean
    /** The entry to issue for. */
    readonly entryId?: string
  },
) => Promise<T>

/**
 * Names that the known PKI roles accept, best first: an e-mail form, which no TLS client uses as a host name; none, which
 * some servers replace by a name that their role refuses; and a host name.
 */
const CANDIDATES = ['svid@localhost', '', 'localhost'] as const
/** A name that has worked is doubted only after this many consecutive unexplained failures. */
const DOUBT_AFTER = 3
/** Statuses for which the name may be the cause, unless the answer names another; for 502 to 504 it is not. */
const UNEXPLAINED: ReadonlySet<number> = new Set([400, 422, 500])

/** How often other names than the first are tried for workloads while none is known to work. */
const LADDER_EVERY_MS = 1_800_000

/** The common name for CSRs of workloads, which another role of the PKI signs. */
export interface WorkloadName {
  readonly run: WithCommonName
  /** The name in the last SVID of a workload; null before the first, and if the policy is not `auto`. */
  proven(): string | null
  /** Sets the name that an earlier run knew. */
  restore(name: string | null): void
}

/**
 * For the agent's own certificate. With `auto`, each failure that may be about the name (`icp.cn_refused`, or an
 * unexplained 500 or 400) leads to the next candidate; a name that worked is remembered.
 */
export function createCommonName(policy: CommonNamePolicy): WithCommonName {
  return policy.mode === 'auto' ? new Ladder().run : alone(policy)
}

/**
 * For workloads, which another role signs. The name of the agent's own certificate is the first candidate; a name that
 * worked is kept. An entry that can never be issued looks like a refused name, so the other names are tried by one entry
 * every half hour, each time by another one.
 */
export function workloadCommonName(
  policy: CommonNamePolicy,
  options: { readonly clock: Pick<Clock, 'monotonic'>; readonly own: () => string | null },
): WorkloadName {
  if (policy.mode !== 'auto') return { run: alone(policy), proven: () => null, restore: () => undefined }
  const turn = turnsOf(options.clock)
  const ladder = new Ladder(options.own, turn)
  return {
    run: ladder.run,
    proven: () => ladder.proven,
    restore: (name) => {
      if (name !== null && isCandidate(name)) ladder.proven ??= name
    },
  }
}

/**
 * The candidate in the agent's own certificate. If the CSR had no name, the server has chosen one.
 */
export function commonNameOf(certificate: Uint8Array): string {
  const [, name = ''] = /^CN=(.*)$/m.exec(new X509Certificate(certificate).subject) ?? []
  return isCandidate(name) ? name : ''
}

class Ladder {
  proven: string | null = null
  #failures = 0

  constructor(
    private readonly guess: () => string | null = () => null,
    private readonly mayTryOthers: (entryId: string) => boolean = () => true,
  ) {}

  readonly run: WithCommonName = async (attempt, options = {}) => {
    const first = this.proven ?? this.guess() ?? CANDIDATES[0]
    const tried = async (name: string) => {
      const result = await attempt(name)
      this.proven = name
      this.#failures = 0
      return result
    }
    let refusal: unknown
    try {
      return await tried(first)
    } catch (error) {
      if (!mayBeTheName(error)) throw error
      const explained = isError(error, 'icp.cn_refused')
      if (this.proven !== null && !explained && ++this.#failures < DOUBT_AFTER) throw error
      if (options.joinToken || !this.mayTryOthers(options.entryId ?? '')) throw error
      refusal = error
    }
    for (const name of CANDIDATES.filter((candidate) => candidate !== first)) {
      try {
        return await tried(name)
      } catch (error) {
        if (!mayBeTheName(error)) throw error
        if (isError(error, 'icp.cn_refused') && !isError(refusal, 'icp.cn_refused')) refusal = error
      }
    }
    throw refusal
  }
}

/** Decides which entry may try: any entry after half an hour, except those that tried in vain before others. */
function turnsOf(clock: Pick<Clock, 'monotonic'>): (entryId: string) => boolean {
  let nextAt = Number.NEGATIVE_INFINITY
  const had = new Set<string>()
  const passedOver = new Set<string>()
  return (entryId) => {
    if (clock.monotonic() < nextAt) return false
    // An entry gets a second turn only after all others had one, or if there is no other.
    if (had.has(entryId) && !passedOver.has(entryId)) {
      passedOver.add(entryId)
      return false
    }
    if (had.has(entryId)) had.clear()
    passedOver.clear()
    had.add(entryId)
    nextAt = clock.monotonic() + LADDER_EVERY_MS
    return true
  }
}

function alone(policy: Exclude<CommonNamePolicy, { mode: 'auto' }>): WithCommonName {
  return (attempt) => attempt(policy.mode === 'text' ? policy.text : '')
}

function isCandidate(name: string): boolean {
  return CANDIDATES.some((candidate) => candidate === name)
}

function mayBeTheName(error: unknown): boolean {
  if (isError(error, 'icp.cn_refused')) return true
  return isError(error, 'icp.server_error') && UNEXPLAINED.has(error.details.status ?? 0)
}
