import type { Metadata } from '@grpc/grpc-js'
import { platformOf, type Selectors } from '../identity/selector.js'

/** What a process says of itself in the metadata of its calls, as some SDKs do. Nothing is ever granted on it. */
export interface Claim {
  readonly name: string
  readonly claimed: string
}

/** A claim, and what is so instead; null: no such fact. */
interface Contradiction extends Claim {
  readonly found: string | null
}

/** The facts that claims are compared with. */
interface Facts {
  readonly pid: number
  readonly facts: Selectors
  readonly missing: readonly string[]
}

const MAX_CLAIMS = 16
const MAX_CHARACTERS = 128
const PID = 'x-pid'
const LABEL = 'x-docker-label-'
/** The selector that says the same as a claim. */
const SELECTOR: Readonly<Record<string, string>> = {
  'x-k8s-namespace': 'k8s:ns',
  'x-k8s-pod-name': 'k8s:pod-name',
  'x-k8s-pod-uid': 'k8s:pod-uid',
  'x-k8s-service-account': 'k8s:sa',
  'x-k8s-pod-label-app': 'k8s:pod-label:app',
  'x-docker-container-id': 'docker:container-id',
  'x-docker-container-name': 'docker:container-name',
  'x-docker-image-name': 'docker:image-name',
}

/** The claims in the metadata of a call: at most 16, of at most 128 characters. */
export function claimsOf(metadata: Metadata): readonly Claim[] {
  const claims: Claim[] = []
  for (const [name, value] of Object.entries(metadata.getMap())) {
    const known = name === PID || Object.hasOwn(SELECTOR, name) || name.startsWith(LABEL)
    if (!known || typeof value !== 'string' || value === '') continue
    claims.push({ name: name.slice(0, MAX_CHARACTERS), claimed: value.slice(0, MAX_CHARACTERS) })
    if (claims.length === MAX_CLAIMS) break
  }
  return claims
}

/** Claims that are not so. What a missing platform would have to say is not known, and left out. */
export function contradictions(claims: readonly Claim[], { pid, facts, missing }: Facts): readonly Contradiction[] {
  return claims.flatMap(({ name, claimed }) => {
    if (name === PID) return claimed === String(pid) ? [] : [{ name, claimed, found: String(pid) }]
    const label = name.startsWith(LABEL)
    const key = label ? `docker:label:${name.slice(LABEL.length)}` : (SELECTOR[name] ?? name)
    const found = facts.get(key)?.slice(0, MAX_CHARACTERS) ?? null
    // Names of metadata are in lower case, those of labels need not be: such a label is not found.
    const unknown = missing.includes(platformOf(key)) || (label && found === null)
    return unknown || agree(key, claimed, found) ? [] : [{ name, claimed, found }]
  })
}

/** A container's host name, which SDKs take for its id, is the first twelve digits of it. */
function agree(key: string, claimed: string, found: string | null): boolean {
  const short = key === 'docker:container-id' && claimed.length >= 12
  return claimed === found || (short && found?.startsWith(claimed) === true)
}
