import type { SpiffeId } from '../identity/spiffe-id.js'

/** The choice among several identities; nothing named: the default identity. */
export interface Choice {
  readonly spiffeId: string | null
  readonly hint: string | null
}

/** The first identity that matches the choice, or null. */
export function pickIdentity<T extends { readonly hint: string }>(
  identities: readonly T[],
  idOf: (identity: T) => SpiffeId,
  { spiffeId, hint }: Choice,
): T | null {
  const found = identities.find(
    (one) => (spiffeId === null || idOf(one).uri === spiffeId) && (hint === null || one.hint === hint),
  )
  return found ?? null
}

/** The choice in words. */
export function choiceText({ spiffeId, hint }: Choice): string {
  const named = spiffeId === null ? [] : [`the SPIFFE ID ${spiffeId}`]
  const hinted = hint === null ? [] : [`the hint ${JSON.stringify(hint)}`]
  return [...named, ...hinted].join(' and ') || 'any identity'
}
