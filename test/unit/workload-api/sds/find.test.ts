import { expect, test } from 'vitest'
import type { Snapshot } from '../../../../agent/svids/snapshot.js'
import { EVERYTHING, findSecrets } from '../../../../agent/workload-api/sds/find.js'
import { Secrets } from '../../../../agent/workload-api/sds/secrets.js'
import { bundlesOf, entryOf, issuedOf, snapshotOf, svidOf } from '../../../fakes/identities.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const names = { svid: 'default', bundle: 'ROOTCA', allBundles: 'ALL' }
const heldGrants = { code: 'audit.unavailable', message: 'cannot be written' } as const

const live = { notBefore: NOW - 1, notAfter: NOW + 60_000 }

/** Everything there is for a caller that matches all entries of the snapshot. */
function optionsFor(snapshot: Snapshot, held = false) {
  const input = {
    refusal: null,
    attesting: false,
    waitMs: 0,
    match: { ids: [...snapshot.entries.keys()], truncated: false, uncertain: false },
    snapshot,
    now: NOW,
    heldForMs: 0,
    holdMs: 4_000,
    served: null,
    stopping: false,
    heldGrants: held ? heldGrants : null,
  }
  const rest = {
    names,
    secrets: new Secrets(),
    validation: 'spiffe',
    openToAll: false,
    served: () => undefined,
  } as const
  return { input, snapshot, ...rest }
}

function kindOf(name: string, served: readonly string[] | undefined, held: boolean) {
  const entry = entryOf('a')
  const options = optionsFor(snapshotOf([entry], { a: issuedOf('a', live) }), held)
  const asked = name === 'own' ? entry.spiffeId.uri : name
  const wanted = { all: false, names: new Set([asked]) }
  return findSecrets(wanted, { ...options, served: () => served }).get(asked)?.kind
}

test.each(['own', 'default'])(
  'while nothing new is granted, a stream that has the secret %s goes on, a new one waits',
  (name) => {
    expect(kindOf(name, undefined, false)).toBe('found')
    expect(kindOf(name, undefined, true)).toBe('hold')
    expect(kindOf(name, ['a'], true)).toBe('found')
  },
)

test('all bundles in one secret never come to an Envoy that knows plain CAs only: those of two trust domains would mix', () => {
  const options = optionsFor(snapshotOf([entryOf('a')], { a: issuedOf('a', live) }))
  const wanted = { all: false, names: new Set(['ALL']) }
  expect(findSecrets(wanted, options).get('ALL')?.kind).toBe('found')
  expect(findSecrets(wanted, { ...options, validation: 'plain' }).get('ALL')?.kind).toBe('never')
})

test('of two entries with one SPIFFE ID the first stands for it among everything', () => {
  const entries = [entryOf('a', { path: '/same' }), entryOf('b', { path: '/same' })]
  const snapshot = snapshotOf(entries, { a: issuedOf('same', live), b: issuedOf('same', live) })
  const found = findSecrets({ all: true, names: new Set() }, optionsFor(snapshot)).get(EVERYTHING)
  const svids = found?.kind === 'found' ? found.secrets.flatMap(({ svid }) => svid ?? []) : []
  expect(svids.map(({ entryId }) => entryId)).toEqual(['a'])
})

test.each(['ROOTCA', 'ALL'])('a bundle (%s) that is not there yet is waited for', (name) => {
  const options = optionsFor(snapshotOf([entryOf('a')], {}, { bundles: new Map() }))
  expect(findSecrets({ all: false, names: new Set([name]) }, options).get(name)?.kind).toBe('hold')
})

test('one bundle is another secret for each way of verifying', () => {
  const secrets = new Secrets()
  const [bundle] = bundlesOf('example.org').values()
  if (!bundle) throw new Error('no bundle')
  const spiffe = secrets.bundle('ROOTCA', bundle, 'spiffe')
  const plain = secrets.bundle('ROOTCA', bundle, 'plain')
  expect(plain.version).not.toBe(spiffe.version)
  expect(Buffer.from(plain.message.value)).not.toEqual(Buffer.from(spiffe.message.value))
  expect(secrets.bundle('ROOTCA', bundle, 'spiffe')).toBe(spiffe)
})

test('a version tells apart where one certificate ends and the next begins', () => {
  const secrets = new Secrets()
  const versionOf = (...chain: string[]) => {
    const svid = { ...svidOf('a'), chain: chain.map((part) => Buffer.from(part)) }
    return secrets.svid('default', { entryId: 'a', svid }).version
  }
  expect(versionOf('ab', 'c')).not.toBe(versionOf('a', 'bc'))
  expect(versionOf('ab', 'c')).toBe(versionOf('ab', 'c'))
})
