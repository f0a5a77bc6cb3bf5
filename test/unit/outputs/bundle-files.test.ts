import { X509Certificate } from 'node:crypto'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { parseAuthority } from '../../../agent/identity/authority.js'
import type { BundleSet } from '../../../agent/identity/trust-bundle.js'
import { BundleFiles } from '../../../agent/outputs/bundle-files.js'
import { SvidStore } from '../../../agent/svids/store.js'
import type { TestCa } from '../../fakes/ca.js'
import { FakeClock } from '../../fakes/clock.js'
import { rsaKey } from '../../fakes/keys.js'
import { MemoryFiles } from '../../fakes/memory-files.js'
import { jwtKeyOf } from '../../fakes/tokens.js'
import { rootCa } from '../../fakes/workload-messages.js'

const BUNDLES = { entries: new Set<string>(), bundles: true }
let ca: TestCa
let store: SvidStore
let files: MemoryFiles
let clock: FakeClock
let told: string[]
let stop: AbortController

beforeAll(async () => {
  ca = await rootCa()
})
beforeEach(() => {
  store = new SvidStore()
  files = new MemoryFiles()
  clock = new FakeClock()
  told = []
  stop = new AbortController()
})

const bundles = (...names: string[]): BundleSet =>
  new Map(names.map((trustDomain) => [trustDomain, { trustDomain, authorities: [parseAuthority(ca.der)] }]))
function run(...formats: string[]) {
  const events = {
    written: () => void told.push('written'),
    failed: (_path: string, error: unknown) => void told.push((error as AgentError).code),
  }
  return new BundleFiles({ store, files, clock, events, directory: '/out', formats }).run(stop.signal)
}
const text = (name: string) => files.content.get(`/out/${name}`)?.toString() ?? ''
const names = () => [...files.content.keys()].map((path) => path.replace('/out/', '')).sort()

test('each trust domain has its authorities, its keys, and both as a SPIFFE bundle, all for anybody to read', async () => {
  const key = await jwtKeyOf(await rsaKey(0), { kid: 'a' })
  store.publish({ bundles: bundles('one.example'), jwtKeys: [key] }, BUNDLES)
  const done = run('pem', 'jwks', 'spiffe')
  await clock.advance(0)
  expect(names()).toEqual(['one.example.jwks.json', 'one.example.pem', 'one.example.spiffe.json'])
  expect(new X509Certificate(text('one.example.pem')).raw.equals(ca.der)).toBe(true)
  expect(JSON.parse(text('one.example.jwks.json'))).toEqual({ keys: [key.jwk] })
  const [x509, jwt] = JSON.parse(text('one.example.spiffe.json')).keys
  expect(x509).toMatchObject({ use: 'x509-svid', x5c: [Buffer.from(ca.der).toString('base64')] })
  expect(jwt).toEqual(key.jwk)
  expect([...files.modes.values()]).toEqual([0o644, 0o644, 0o644])
  stop.abort()
  await done
})

test('a trust domain that is served no more loses its file; what somebody else put there stays', async () => {
  files.content.set('/out/theirs.pem', Buffer.from('x'))
  store.publish({ bundles: bundles('one.example', 'two.example') }, BUNDLES)
  const done = run('pem')
  await clock.advance(0)
  store.publish({ bundles: bundles('one.example') }, BUNDLES)
  await clock.advance(0)
  expect(names()).toEqual(['one.example.pem', 'theirs.pem'])
  stop.abort()
  await done
})

test('a store that knows nothing yet leaves what lies there', async () => {
  files.content.set('/out/one.example.pem', Buffer.from('of an earlier run'))
  const done = run('pem')
  store.publish({ synced: true }, { entries: 'all', bundles: false })
  await clock.advance(0)
  expect(text('one.example.pem')).toBe('of an earlier run')
  stop.abort()
  await done
})

test('a publication that changes no bundle writes nothing', async () => {
  store.publish({ bundles: bundles('one.example') }, BUNDLES)
  const done = run('pem')
  await clock.advance(0)
  store.publish({ synced: true }, { entries: 'all', bundles: false })
  await clock.advance(0)
  expect(told).toEqual(['written'])
  stop.abort()
  await done
})

test('a disk that fails is told of and tried again', async () => {
  let broken = true
  files.hook = () => {
    if (broken) throw new AgentError('file.io', 'full')
  }
  store.publish({ bundles: bundles('one.example') }, BUNDLES)
  const done = run('pem')
  await clock.advance(0)
  broken = false
  await clock.advance(15_000)
  expect(told).toEqual(['file.io', 'written'])
  expect(text('one.example.pem')).not.toBe('')
  stop.abort()
  await done
})
