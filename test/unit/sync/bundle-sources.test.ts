import { beforeEach, describe, expect, it } from 'vitest'
import { syncEvents } from '../../../agent/observability/sync-events.js'
import type { EntryState } from '../../../agent/store/snapshot.js'
import { BundleSources, issuersInUse } from '../../../agent/sync/bundle-sources.js'
import { FakeClock } from '../../fakes/clock.js'
import { authorityOf, heldOf, issuedOf } from '../../fakes/identities.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const [a, b, foreign] = [authorityOf('a'), authorityOf('b'), authorityOf('foreign')]
const NONE: ReadonlyMap<string, EntryState> = new Map()
const inUse = (...authorities: readonly (typeof a)[]): ReadonlyMap<string, EntryState> =>
  new Map(authorities.map(({ fingerprint }, n) => [`e${n}`, issuedOf(`e${n}`, { authority: fingerprint })]))

const DISAGREE = 'Sources of trust bundles disagree'
const AGREE = 'Sources of trust bundles agree again'
const ORPHANS = 'The server names none of the issuers of the SVIDs in use; those stay in the trust bundles'
const KNOWN = 'The server names issuers of the SVIDs in use again'

let sinks: RecordedSinks
let sources: BundleSources

beforeEach(() => {
  sinks = new RecordedSinks()
  sources = new BundleSources(syncEvents(sinks, new FakeClock()))
})

describe('sources of authorities', () => {
  it('that name the same say nothing, in whatever order they name it', () => {
    sources.heard('attest', [a, b], NONE)
    sources.heard('bundle', [b, a, b], NONE)
    sources.heard('issue', [a, b], NONE)
    expect(sinks.lines).toEqual([])
  })

  it('that contradict one another are a warning once, again when it changes, and a line when it is over', () => {
    sources.heard('attest', [a], NONE)
    for (let times = 0; times < 3; times++) sources.heard('bundle', [b], NONE)
    expect(sinks.events('warn')).toEqual([DISAGREE])
    expect(sinks.lines[0]?.fields).toEqual({
      named: { attest: [a.fingerprint.slice(0, 16)], bundle: [b.fingerprint.slice(0, 16)] },
    })
    sources.heard('bundle', [foreign], NONE)
    expect(sinks.events()).toEqual([DISAGREE, DISAGREE])
    sources.heard('attest', [foreign], NONE)
    sources.heard('attest', [foreign], NONE)
    expect(sinks.events()).toEqual([DISAGREE, DISAGREE, AGREE])
    expect(sinks.total('icp_agent_bundle_disagreements_total', { kind: 'contradiction' })).toBe(2)
  })

  it('of which one names more are no warning: answers may name only the issuer', () => {
    sources.heard('issue', [b], NONE)
    sources.heard('bundle', [a, b], NONE)
    expect(sinks.events('info')).toEqual([DISAGREE])
    expect(sinks.events('warn')).toEqual([])
  })

  it('that name none say nothing', () => {
    sources.heard('bundle', [a], inUse(a))
    sources.heard('issue', [], inUse(a))
    sources.heard('attest', [], inUse(a))
    expect(sinks.lines).toEqual([])
  })
})

describe('an answer that knows none of the issuers in use', () => {
  it('is said once, and again when something of it changes', () => {
    sources.heard('bundle', [foreign], inUse(a, b))
    sources.heard('bundle', [foreign], inUse(a, b))
    expect(sinks.events('warn')).toEqual([ORPHANS])
    expect(sinks.lines[0]?.fields).toMatchObject({ source: 'bundle', named: [foreign.fingerprint.slice(0, 16)] })
    sources.heard('bundle', [foreign], inUse(a))
    expect(sinks.events('warn')).toEqual([ORPHANS, ORPHANS])
  })

  it('is no matter where nothing is in use, or one issuer is known', () => {
    sources.heard('bundle', [foreign], NONE)
    sources.heard('bundle', [foreign, a], inUse(a, b))
    expect(sinks.events()).toEqual([])
  })

  it('is over when every source knows one of them', () => {
    sources.heard('bundle', [foreign], inUse(a))
    sources.heard('attest', [a], inUse(a))
    expect(sinks.events()).not.toContain(KNOWN)
    sources.heard('bundle', [a], inUse(a))
    expect(sinks.events()).toContain(KNOWN)
    sources.heard('bundle', [a], inUse(a))
    expect(sinks.events().filter((event) => event === KNOWN)).toHaveLength(1)
  })
})

it('issuers in use are those of SVIDs that are served or wait to be', () => {
  const next = { held: heldOf('x', { authority: b.fingerprint }), from: 1 }
  const states = new Map<string, EntryState>([
    ['x', { ...issuedOf('x', { authority: a.fingerprint }), next }],
    ['y', { kind: 'wanted' }],
  ])
  expect([...issuersInUse(states)]).toEqual([a.fingerprint, b.fingerprint])
})
