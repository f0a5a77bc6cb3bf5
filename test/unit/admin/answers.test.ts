import { describe, expect, test } from 'vitest'
import type { AdminRequest } from '../../../agent/admin/route.js'
import { bundles } from '../../../agent/admin/routes/bundles.js'
import { entries } from '../../../agent/admin/routes/entries.js'
import { status } from '../../../agent/admin/routes/status.js'
import { workloadRow, workloads } from '../../../agent/admin/routes/workloads.js'
import { AgentError } from '../../../agent/errors.js'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import type { ConnectedWorkload, WorkloadListing } from '../../../agent/workload-api/connections.js'
import { adminSourcesWith, healthy } from '../../fakes/admin.js'
import { authorityOf, entryOf, issuedOf, snapshotOf } from '../../fakes/identities.js'

const never = new AbortController().signal
const asking = (query: Record<string, string> = {}): AdminRequest => ({
  params: {},
  query,
  body: undefined,
  signal: never,
})
const NOW = Date.parse('2026-01-01T00:00:00Z')
const HOUR = 3_600_000

const refused: EntryState = {
  kind: 'refused',
  code: 'icp.forbidden',
  message: 'the server says no',
  until: NOW + 60_000,
  failures: { count: 4, retryAt: NOW + 60_000, code: 'icp.forbidden' },
}

function listing(change: Partial<WorkloadListing> = {}): WorkloadListing {
  return {
    ...{ pid: 7, uid: 1000, gid: 100, program: '/bin/app', entries: [entryOf('a')], denial: null },
    state: {
      kind: 'attested',
      selectors: new Map([['unix:uid', '1000']]),
      unavailable: [],
      notes: [],
      waitMs: 0,
      at: 0,
    },
    connections: [
      {
        id: 'c1',
        calls: 1,
        since: NOW,
        streams: [{ dialect: 'spiffe', method: 'FetchX509SVID', since: NOW, sent: 3 }],
      },
    ],
    ...change,
  }
}

describe('a workload is', () => {
  const issued = { a: issuedOf('a', { notBefore: NOW, notAfter: NOW + HOUR }) }
  const denial = { id: 'd1', code: 'entry.none' as const, since: NOW }
  const failed = { kind: 'failed' as const, error: new AgentError('caller.exited', 'it ended'), at: 0 }
  test.each<[string, Partial<WorkloadListing>, Record<string, EntryState>]>([
    ['served', {}, issued],
    ['served', { denial }, issued],
    ['waiting', {}, {}],
    ['waiting', {}, { a: issuedOf('a', { notBefore: NOW - HOUR, notAfter: NOW }) }],
    ['waiting', { state: { kind: 'pending', since: 0 }, entries: [] }, {}],
    ['denied', { denial }, { a: refused }],
    ['denied', { denial, entries: [] }, {}],
    ['denied', { state: failed, entries: [] }, issued],
    ['none', { entries: [] }, {}],
  ])('%s: %#', (state, change, states) => {
    expect(workloadRow(listing(change), snapshotOf([entryOf('a')], states), NOW).state).toBe(state)
  })

  test('told with the SVID that ends first, its streams and where it runs', () => {
    const states = { a: issued.a, b: issuedOf('b', { notBefore: NOW - 1_000, notAfter: NOW + 5_000 }) }
    const selectors = new Map([
      ['k8s:ns', 'shop'],
      ['k8s:pod-name', 'web-1'],
      ['systemd:id', 'web.service'],
    ])
    const state = { kind: 'attested' as const, selectors, unavailable: ['docker'], notes: [], waitMs: 0, at: 0 }
    const row = workloadRow(listing({ entries: [entryOf('a'), entryOf('b')], state }), snapshotOf([], states), NOW)
    expect(row).toMatchObject({
      ...{ pod: 'shop/web-1', container: null, unit: 'web.service', unavailable: ['docker'] },
      ...{ svid_issued_at: '2025-12-31T23:59:59.000Z', svid_expires_at: '2026-01-01T00:00:05.000Z' },
      entry_ids: ['a', 'b'],
      streams: [{ dialect: 'spiffe', method: 'FetchX509SVID', sends: 3 }],
    })
  })
})

describe('lists', () => {
  test('of 2,000 workloads describe 500 in a turn, each once', async () => {
    let [inTurn, most] = [0, 0]
    const connected: ConnectedWorkload[] = Array.from({ length: 2_000 }, (_, i) => ({
      pid: i + 1,
      key: `k${i}`,
      describe: () => {
        most = Math.max(most, ++inTurn)
        return listing({ pid: i + 1 })
      },
    }))
    const turn = async () => {
      inTurn = 0
    }
    const sources = { ...adminSourcesWith({ connected: () => connected }), turn }
    const pids: number[] = []
    for (let after: string | null = ''; after !== null; ) {
      inTurn = 0
      const { rows, next } = workloads.schema.parse(await workloads.answer(sources, asking({ after })))
      pids.push(...rows.map(({ pid }) => pid))
      after = next
    }
    expect(pids).toEqual(connected.map(({ pid }) => pid))
    expect(most).toBe(500)
    inTurn = 0
    const none = workloads.schema.parse(await workloads.answer(sources, asking({ state: 'denied' })))
    expect([none.rows.length, most]).toEqual([0, 500])
  })

  test('of entries say how it stands with each, and why it is not issued', async () => {
    const all = [entryOf('b', { selectors: { 'unix:uid': '2' } }), entryOf('a'), entryOf('c')]
    const states = { a: issuedOf('a', { notBefore: NOW, notAfter: NOW + HOUR, serial: '07' }), b: refused }
    const sources = adminSourcesWith({
      snapshot: () => snapshotOf(all, states),
      usesOf: (id) => (id === 'a' ? 2 : 0),
      changedAt: () => NOW,
    })
    const answer = await entries.answer(sources, asking())
    const parsed = entries.schema.parse(answer)
    expect(parsed).toEqual(answer)
    expect(parsed.rows).toMatchObject([
      {
        id: 'a',
        state: 'issued',
        code: null,
        svid: { serial: '07', expires_at: '2026-01-01T01:00:00.000Z' },
        wanted_by: 2,
      },
      { id: 'b', state: 'refused', code: 'icp.forbidden', reason: 'the server says no', failures: 4, svid: null },
      { id: 'c', state: 'idle', code: null, svid: null },
    ])
    expect(entries.schema.parse(await entries.answer(sources, asking({ state: 'refused' }))).rows).toHaveLength(1)
  })

  test('of bundles tell which authority issues now', async () => {
    const [old, current] = [authorityOf('old', { notAfter: NOW + HOUR }), authorityOf('new', { notAfter: NOW + HOUR })]
    const sources = adminSourcesWith({
      snapshot: () =>
        snapshotOf([], {}, { bundles: new Map([['d', { trustDomain: 'd', authorities: [old, current] }]]) }),
      issuer: () => current.fingerprint,
      authorities: () => [{ authority: old, firstSeen: 5, lastActive: 9 }],
    })
    const { rows } = bundles.schema.parse(await bundles.answer(sources, asking()))
    expect(rows[0]?.x509_authorities).toMatchObject([
      { state: 'old', first_seen_at: '1970-01-01T00:00:00.005Z' },
      { state: 'active', first_seen_at: null },
    ])
  })
})

describe('the status', () => {
  test('is what its schema declares, and has no more', async () => {
    const answer = await status.answer(adminSourcesWith())
    expect(status.schema.parse(answer)).toEqual(answer)
  })

  test('says what is wrong, since when, once', async () => {
    const trouble = { code: 'icp.unreachable' as const, message: 'no route', since: NOW - 60_000 }
    const input = healthy(NOW, {
      icpService: { address: 'https://icp.test', reachedAt: NOW - 90_000, trouble, skewMs: null },
      adminTrouble: { message: 'no admin', since: NOW - 5 },
      workloadApi: { socketPath: '/s', listening: false, lostSince: null, connections: 0, streams: 0 },
    })
    const told = status.schema.parse(await status.answer(adminSourcesWith({ health: () => input })))
    expect(told.server).toMatchObject({ reachable: false, trouble: { code: 'icp.unreachable' } })
    expect(told.health.reasons.map(({ component, status, since }) => [component, status, since])).toEqual([
      ['icp_service', 'degraded', '2025-12-31T23:59:00.000Z'],
      ['workload_api', 'starting', null],
      ['agent', 'degraded', '2025-12-31T23:59:59.995Z'],
    ])
  })
})
