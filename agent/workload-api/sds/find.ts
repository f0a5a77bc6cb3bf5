import type { ErrorCode } from '../../errors.js'
import type { Snapshot } from '../../svids/snapshot.js'
import { type Decision, type DecisionInput, decide, decideBundles } from '../decision.js'
import { type Meaning, meaningOf, type SecretNames } from './names.js'
import type { SdsSecret, Secrets, Validation } from './secrets.js'
import type { WantedSecrets } from './subscription.js'

/** The result for one name now: secrets, or the decision to hold or refuse. */
export type Finding =
  | { readonly kind: 'found'; readonly secrets: readonly SdsSecret[]; readonly ids: readonly string[] }
  | Exclude<Decision, { kind: 'send' }>
  /** No change can ever make it available. */
  | { readonly kind: 'never'; readonly why: string }

export interface FindOptions {
  readonly input: DecisionInput
  readonly snapshot: Snapshot
  readonly names: SecretNames
  readonly secrets: Secrets
  readonly validation: Validation
  /** Bundles also for callers without an identity. */
  readonly openToAll: boolean
  /** Entry ids of the last content sent under a name; undefined: none was sent. */
  readonly served: (name: string) => readonly string[] | undefined
}

/** The name in findings for a request without names. */
export const EVERYTHING = '*'

/** Decides for each wanted name. */
export function findSecrets(wanted: WantedSecrets, options: FindOptions): ReadonlyMap<string, Finding> {
  const findings = new Map<string, Finding>()
  if (wanted.all) findings.set(EVERYTHING, findEverything(options))
  for (const name of wanted.names) findings.set(name, find(name, options))
  return findings
}

function find(name: string, options: FindOptions): Finding {
  const { input, snapshot, names, secrets, validation } = options
  const meaning = meaningOf(name, names)
  switch (meaning.kind) {
    case 'default-svid': {
      // A name does not wait for other SVIDs, which have streams of their own.
      const decision = decide({ ...input, served: options.served(name) ?? [] })
      return decision.kind === 'send' ? svidOf(name, decision.ids, options) : decision
    }
    case 'svid': {
      const { match } = input
      const ids = match.ids.filter((id) => snapshot.entries.get(id)?.spiffeId.equals(meaning.spiffeId))
      // While nothing new is granted, an SVID that the stream has is still renewed.
      const served = input.heldGrants ? (options.served(name) ?? []) : []
      const decision = decide({ ...input, served, match: { ...match, ids } })
      if (decision.kind === 'send') return svidOf(name, decision.ids, options)
      return match.ids.length > 0 ? withCode(decision, 'entry.none', 'entry.not_entitled') : decision
    }
    case 'own-bundle':
    case 'bundle': {
      const bundle = snapshot.bundles.get(trustDomainOf(meaning, options) ?? '')
      return findBundle(options, bundle && bundle.authorities.length > 0 ? bundle : null, (one) =>
        secrets.bundle(name, one, validation),
      )
    }
    case 'all-bundles':
      if (validation === 'plain') {
        return { kind: 'never', why: 'bundles of several trust domains need the SPIFFE validator (Envoy 1.18)' }
      }
      return findBundle(options, snapshot.bundles.size > 0 ? snapshot.bundles : null, (all) =>
        secrets.allBundles(name, all),
      )
    case 'nothing':
      return { kind: 'never', why: meaning.why }
  }
}

function findBundle<B>(
  { input, openToAll }: FindOptions,
  bundle: B | null,
  compose: (bundle: B) => SdsSecret,
): Finding {
  const decision = decideBundles({ ...input, openToAll, available: bundle !== null })
  if (decision.kind !== 'send') return decision
  if (bundle === null) throw new TypeError('a bundle was granted that is not there')
  return { kind: 'found', secrets: [compose(bundle)], ids: [] }
}

/** All SVIDs and bundles under their SPIFFE IDs, held and ordered like a message of the Workload API. */
function findEverything(options: FindOptions): Finding {
  const { input, snapshot, secrets, validation } = options
  const decision = decide({ ...input, served: options.served(EVERYTHING) ?? null })
  if (decision.kind !== 'send') return decision
  const bundles = [...snapshot.bundles.values()].filter(({ authorities }) => authorities.length > 0)
  const all = [
    ...decision.ids.flatMap((entryId) => {
      const svid = svidIn(snapshot, entryId)
      return secrets.svid(svid.spiffeId.uri, { entryId, svid })
    }),
    ...bundles.map((bundle) => secrets.bundle(`spiffe://${bundle.trustDomain}`, bundle, validation)),
  ]
  const seen = new Set<string>()
  // Two entries may have one SPIFFE ID: the older one is served.
  return { kind: 'found', secrets: all.filter(({ name }) => !seen.has(name) && seen.add(name)), ids: decision.ids }
}

function svidOf(name: string, [entryId]: readonly string[], { snapshot, secrets }: FindOptions): Finding {
  if (entryId === undefined) throw new TypeError('a decision to send names no entry')
  return { kind: 'found', secrets: [secrets.svid(name, { entryId, svid: svidIn(snapshot, entryId) })], ids: [entryId] }
}

function svidIn({ states }: Snapshot, entryId: string) {
  const state = states.get(entryId)
  if (state?.kind !== 'issued') throw new TypeError(`entry ${entryId} is not issued`)
  return state.held.svid
}

/** The caller's own trust domain is that of its first entry, issued or not. */
function trustDomainOf(meaning: Meaning, { input, snapshot }: FindOptions): string | null {
  if (meaning.kind === 'bundle') return meaning.trustDomain
  const [first] = input.match.ids
  return (first !== undefined && snapshot.entries.get(first)?.spiffeId.trustDomain) || null
}

function withCode<D extends Finding>(decision: D, from: ErrorCode, to: ErrorCode): D {
  return decision.kind === 'refuse' && decision.code === from ? { ...decision, code: to } : decision
}
