import { randomBytes } from 'node:crypto'
import type { Caller } from '../attestation/caller.js'
import type { ErrorCode } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import type { Denial } from '../observability/api-events.js'
import type { WorkloadState } from './attested-process.js'
import type { Refusal } from './decision.js'
import { nearestEntries } from './nearest-entries.js'

/** A denial that a caller got, and its selectors, which are compared by object identity. */
export interface KnownDenial {
  readonly code: ErrorCode
  readonly selectors: unknown
  readonly id: string
  /** When the caller first got it; wall-clock milliseconds. */
  readonly since: number
}

/** Limit of nearest entries of a denial. */
const MAX_NEAREST = 5

/** The denial for events, and what to remember of it. `before`: the last denial; an equal one keeps its id. */
export function denialOf(
  { code }: Refusal,
  { caller, state }: { readonly caller: Caller; readonly state: WorkloadState },
  entries: ReadonlyMap<string, Entry>,
  before: KnownDenial | null,
  now: number,
): { readonly denial: Denial; readonly known: KnownDenial } {
  const attested = state.kind === 'attested' ? state : null
  const selectors = attested?.selectors ?? state.kind
  const same = before?.code === code && before.selectors === selectors ? before : null
  const first = same === null
  const id = same?.id ?? randomBytes(6).toString('hex')
  const denial = {
    id,
    first,
    caller: { pid: caller.pid, uid: caller.uid, gid: caller.gid },
    process: caller.process.key,
    selectors: attested?.selectors ?? new Map<string, string>(),
    unavailable: attested?.unavailable ?? [],
    notes: attested?.notes ?? [],
    nearest:
      first && attested && code === 'entry.none'
        ? () => nearestEntries(entries.values(), attested.selectors, MAX_NEAREST)
        : null,
  }
  return { denial, known: { code, selectors, id, since: same?.since ?? now } }
}
