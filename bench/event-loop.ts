import { createPublicKey } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { createCsr } from '../agent/crypto/csr.js'
import { parseEntries } from '../agent/icp/wire-entries.js'
import { parseAuthority } from '../agent/identity/authority.js'
import { SpiffeId } from '../agent/identity/spiffe-id.js'
import { verifyX509Svid } from '../agent/identity/verify-svid.js'
import { environmentSource, systemRoots } from '../agent/platform/system-roots.js'
import { EntryIndex } from '../agent/svids/entry-index.js'
import { nextJob } from '../agent/svids/plan.js'
import { TestCa } from '../test/fakes/ca.js'
import { TENANT } from '../test/fakes/control-plane.js'
import { rsaKey } from '../test/fakes/keys.js'
import { Crowd } from '../test/simulation/crowd.js'

/**
 * How long each job of the agent blocks the event loop, at 500 entries and 200 workloads with a stream in each dialect. In
 * processor time, so that other load on the machine matters little.
 */
const ENTRIES = 500
const WORKLOADS = 200
const HOUR = 3_600_000

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Median and maximum of several runs, each after a garbage collection. */
async function measure(what: string, run: (n: number) => unknown, times = 15): Promise<void> {
  const all: number[] = []
  for (let n = 0; n < times; n++) {
    globalThis.gc?.()
    const began = cpuMs()
    await run(n)
    all.push(cpuMs() - began)
  }
  all.sort((a, b) => a - b)
  const shown = (ms: number | undefined) => (ms ?? 0).toFixed(1).padStart(7)
  process.stdout.write(`${what.padEnd(70)} ${shown(all[times >> 1])} ms, most ${shown(all.at(-1))} ms\n`)
}

const agent = SpiffeId.parse(`spiffe://${TENANT}/agent/node-1`)
const web = SpiffeId.parse(`spiffe://${TENANT}/web`)
const roots = systemRoots(environmentSource())
await measure("a TLS context with the system's authorities", () => void createSecureContext({ ca: [...roots] }))

const list = JSON.stringify({
  entries: Array.from({ length: ENTRIES }, (_, n) => ({
    id: `entry-${n}`,
    spiffe_id: `spiffe://${TENANT}/w/${n}`,
    parent_id: agent.uri,
    selectors: { 'unix:uid': String(n % WORKLOADS), 'unix:path': '/usr/bin/app', 'docker:label:app': `app-${n}` },
    ttl: 3600,
    created_at: '2026-01-01T00:00:00Z',
  })),
})
const parsed = () => parseEntries(JSON.parse(list), agent)
await measure(`a list of ${ENTRIES} entries (${Math.round(list.length / 1024)} KiB), parsed`, () => void parsed())
const { entries } = parsed()
await measure('the index of them', () => void new EntryIndex(entries))

const key = await rsaKey()
await measure('a CSR, signed', () => createCsr({ key, uri: web.uri, commonName: 'svid@localhost' }))
const now = Date.now()
const ca = await TestCa.create('CA', { notBefore: now - HOUR, notAfter: now + 10 * HOUR })
const leaf = await ca.issue(createPublicKey(key), {
  names: [{ type: 'url', value: web.uri }],
  notBefore: now - 1000,
  notAfter: now + HOUR,
})
const authorities = [parseAuthority(ca.der)]
await measure('an SVID, verified', () =>
  verifyX509Svid({ chain: [leaf], key, expected: web, named: web.uri, authorities, now }),
)

const crowd = new Crowd({ entries: ENTRIES, workloads: WORKLOADS, matched: ENTRIES })
crowd.open()
await measure('an issuance, published and pushed', (n) => crowd.issue(n), 100)
for (let n = 0; n < ENTRIES; n++) crowd.issue(n)
await new Promise((resolve) => setImmediate(resolve))
await measure('entries that changed, put in force for all streams', () => {
  const { current } = crowd.store
  const changed = new Map(current.entries)
  crowd.store.publish({ entries: changed, index: new EntryIndex(changed.values()) }, { entries: 'all', bundles: false })
})
await measure('a new authority, pushed to all streams', () => crowd.rotate())
const { states, entries: known } = crowd.store.current
const wanted = { uids: new Map([[1000, 1]]), lastUsed: crowd.clock.now() }
const demand = { ids: () => states.keys(), want: () => wanted, turnOf: () => 0 }
await measure('what is worth the next request', () =>
  nextJob({
    now: crowd.clock.now(),
    snapshot: { synced: true, entries: known, states },
    demand,
    inFlight: new Set(),
    syncDueIn: 30_000,
    pressure: 0.5,
    sinceRenewal: 0,
    revocations: [],
  }),
)
