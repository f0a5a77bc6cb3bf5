import { beforeAll, expect, test } from 'vitest'
import { type Change, changes } from '../../../agent/client/changes.js'
import { spiffeMessages } from '../../../agent/client/spiffe-messages.js'
import { verifyX509Context, type X509Context } from '../../../agent/client/x509-context.js'
import type { TestCa } from '../../fakes/ca.js'
import {
  BEGIN,
  rootCa,
  type SentBundles,
  type SentSvid,
  sentSvid,
  x509SvidMessage,
} from '../../fakes/workload-messages.js'

const A = 'spiffe://one.example/a'
const B = 'spiffe://one.example/b'
let [ca, other]: TestCa[] = []
let a: SentSvid
let a2: SentSvid
let b: SentSvid

beforeAll(async () => {
  ;[ca, other] = await Promise.all([rootCa('root'), rootCa('other')])
  if (!ca) throw new Error('no CA')
  ;[a, a2, b] = await Promise.all([sentSvid(ca, A), sentSvid(ca, A), sentSvid(ca, B)])
})

function context(svids: readonly SentSvid[], federated: SentBundles = {}): X509Context {
  return verifyX509Context(() => spiffeMessages.x509Svids(x509SvidMessage('spiffe', svids, federated)), BEGIN)
}

const said = (found: readonly Change[]) =>
  found.map((change) => [change.kind, change.kind === 'bundle' ? change.trustDomain : change.svid.svid.spiffeId.path])

test('everything in the first message is granted', () => {
  expect(said(changes(null, context([a, b])))).toEqual([
    ['granted', '/a'],
    ['granted', '/b'],
  ])
})

test('the same message twice changes nothing', () => {
  expect(changes(context([a, b]), context([a, b]))).toEqual([])
})

test('another serial under the same name is a rotation', () => {
  const [change] = changes(context([a, b]), context([a2, b]))
  expect(change).toMatchObject({ kind: 'rotated', before: { svid: { spiffeId: { uri: A } } } })
  expect(changes(context([a, b]), context([a2, b]))).toHaveLength(1)
})

test('what is gone is withdrawn, and another default is said', () => {
  expect(said(changes(context([a, b]), context([b])))).toEqual([
    ['withdrawn', '/a'],
    ['default', '/b'],
  ])
})

test('two identities of one name are told apart', () => {
  expect(said(changes(context([a, a2]), context([a])))).toEqual([['withdrawn', '/a']])
})

test('authorities that come and go are counted, for own and federated bundles', () => {
  const foreign = 'spiffe://two.example'
  const own = { ...a, bundle: [...a.bundle, ...(other ? [other.der] : [])] }
  expect(changes(context([a]), context([own]))).toEqual([
    { kind: 'bundle', trustDomain: 'one.example', added: 1, removed: 0, authorities: 2 },
  ])
  expect(changes(context([a], { [foreign]: a.bundle }), context([a]))).toEqual([
    { kind: 'bundle', trustDomain: 'two.example', added: 0, removed: 1, authorities: 0 },
  ])
})
