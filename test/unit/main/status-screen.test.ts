import { describe, expect, test } from 'vitest'
import { type StatusAnswer, status } from '../../../agent/admin/routes/status.js'
import { denialText, entryLines, workloadLines } from '../../../agent/main/status/lists.js'
import { statusScreen } from '../../../agent/main/status/screen.js'
import { life, shortened, type TextView } from '../../../agent/main/status/view.js'
import { styleFor } from '../../../agent/main/terminal/style.js'
import { adminSourcesWith, healthy } from '../../fakes/admin.js'

const NOW = '2026-01-01T00:00:00.000Z'
const plain = styleFor({ isTTY: false }, {})
const painted = styleFor({ isTTY: true }, {})
const viewOf = (columns: number, rows: number, style = plain): TextView => ({ columns, rows, style })
const PAPER = viewOf(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
// biome-ignore lint/suspicious/noControlCharactersInRegex: what paints
const unpainted = (text: string) => text.replace(/\u001b\[\d+m/g, '')
const HOSTILE = `spiffe://d/\u001b[2J\u202e${'x'.repeat(300)}`

/** An agent with more to tell than a small terminal holds. */
async function busy(): Promise<StatusAnswer> {
  const trouble = {
    code: 'icp.unreachable' as const,
    message: `no route ${'y '.repeat(200)}`,
    since: Date.parse(NOW) - 5_000,
  }
  const input = healthy(Date.parse(NOW), {
    icpService: { address: `https://icp.test/${'z'.repeat(200)}`, reachedAt: null, trouble, skewMs: 90_000 },
    cache: { restored: true, trouble },
    entries: {
      byState: { issued: 3, refused: 1, wanted: 2 },
      neverIssued: [{ id: 'e', spiffeId: HOSTILE, code: 'icp.forbidden', reason: 'no\u001b[31m' }],
    },
    attestors: ['unix', 'docker', 'kubernetes', 'systemd'].map((name) => ({ name, active: true, reason: HOSTILE })),
  })
  const limit = { perMinute: 4.2, opensInMs: 12_000, pressure: 0.5 }
  const limits = { bootstrap: limit, standard: limit, sensitive: limit, service: limit }
  const sources = adminSourcesWith({ health: () => input, limits: () => limits })
  for (let i = 0; i < 40; i++) sources.changes.add('svid', `${HOSTILE} rotation ${i}`)
  for (let i = 0; i < 40; i++) {
    sources.denials.observer.denied?.({ pid: i, uid: i, gid: i }, new Map([['unix:path', HOSTILE]]), {
      ...{ id: `d${i}`, method: 'FetchX509SVID', code: 'entry.none' as const, message: HOSTILE, first: true },
      ...{ unavailable: [], notes: [], nearest: null, process: 'one' },
    })
  }
  return status.schema.parse(await status.answer(sources))
}

describe.each([
  [80, 24],
  [100, 30],
  [200, 50],
])('a screen of %dx%d', (columns, rows) => {
  test('holds everything, whatever the agent has to tell: no line too many, none too long', async () => {
    const lines = statusScreen(await busy(), viewOf(columns, rows))
    expect(lines.length).toBeLessThanOrEqual(rows)
    expect(Math.max(...lines.map((line) => [...line].length))).toBeLessThanOrEqual(columns)
    for (const label of ['health', 'server', 'own SVID', 'workloads', 'entries', 'platforms', 'changed', 'denied']) {
      expect(
        lines.filter((line) => line.startsWith(label)),
        label,
      ).toHaveLength(1)
    }
  })

  test('cuts no id of a denial', async () => {
    const lines = statusScreen(await busy(), viewOf(columns, rows))
    expect(lines.find((line) => line.startsWith('denied'))).toMatch(/ d39 /)
  })

  test('is the same text painted', async () => {
    const answer = await busy()
    const lines = statusScreen(answer, viewOf(columns, rows, painted))
    expect(lines.map(unpainted)).toEqual(statusScreen(answer, viewOf(columns, rows)))
    expect(lines.join()).not.toContain('\u001b[2J')
    expect(lines.join()).not.toContain('\u202e')
  })
})

test('what is piped has neither colours nor cuts', async () => {
  const text = statusScreen(await busy(), PAPER).join('\n')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be there
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
  expect(text).toContain('z'.repeat(200))
})

test('an agent that is well says so, and what it does', async () => {
  const lines = statusScreen(status.schema.parse(await status.answer(adminSourcesWith())), viewOf(80, 24))
  expect(lines[0]).toContain('node  healthy  up 1 h')
  expect(lines[1]).toBe('health    everything works')
  expect(lines.find((line) => line.startsWith('own SVID'))).toContain('████████████████ 1 h  renews in 30 min')
  expect(lines.find((line) => line.startsWith('entries'))).toContain('3 in all  1 issued  2 idle')
})

test.each([
  ['2026-01-01T00:00:00Z', '2026-01-01T02:00:00Z', '████████ 2 h'],
  ['2025-12-31T23:00:00Z', '2026-01-01T01:00:00Z', '████░░░░ 1 h'],
  ['2025-12-31T22:00:00Z', '2026-01-01T00:00:00Z', '░░░░░░░░ over'],
  ['2025-12-31T22:00:00Z', null, ''],
])('the bar of a life from %s to %s', (from, to, text) => {
  expect(life(from, to, NOW, 8).text).toBe(text)
})

test('trust domains are shortened where lines are short alone', () => {
  const id = 'spiffe://da9f8d37-63b6-4ffc-bd76-ddc2b1b806c0/web'
  expect(shortened(id, { columns: 80 })).toBe('spiffe://da9f8d37…/web')
  expect(shortened(id, { columns: 200 })).toBe(id)
  expect(shortened(id, PAPER)).toBe(id)
})

test('lists and a denial escape what workloads may have named', () => {
  const page = { api_version: 1 as const, now: NOW, snapshot_at: NOW, total: 1, next: null }
  const where = { container: HOSTILE, pod: null, unit: null, program: HOSTILE }
  const workload = {
    ...{
      pid: 1,
      uid: 2,
      gid: 3,
      ...where,
      state: 'waiting' as const,
      spiffe_ids: [HOSTILE],
      entry_ids: [],
      selectors: {},
    },
    ...{ unavailable: [], notes: [], connected_at: NOW, connections: 1, streams: [], denial: null, error: null },
    ...{ svid_issued_at: null, svid_expires_at: null },
  }
  const entry = {
    ...{
      id: 'e',
      spiffe_id: HOSTILE,
      assigned: true,
      selectors: { [HOSTILE]: HOSTILE },
      ttl_seconds: null,
      created_at: null,
    },
    ...{
      state: 'refused' as const,
      since: NOW,
      code: 'icp.forbidden',
      reason: HOSTILE,
      retry_at: null,
      failures: 1,
      svid: null,
    },
    wanted_by: 0,
  }
  const denial = {
    ...{
      api_version: 1 as const,
      now: NOW,
      id: 'd',
      time: NOW,
      last_time: NOW,
      count: 2,
      pid: 1,
      uid: 2,
      gid: 3,
      ...where,
    },
    ...{ method: 'FetchX509SVID', code: 'entry.none', reason: HOSTILE },
    explanation: {
      ...{ selectors: { [HOSTILE]: HOSTILE }, unavailable: [HOSTILE], notes: [HOSTILE] },
      nearest: [{ entry_id: 'e', spiffe_id: HOSTILE, lacks: [{ selector: HOSTILE, wanted: HOSTILE, found: HOSTILE }] }],
    },
  }
  const texts = [
    ...workloadLines({ ...page, rows: [workload] }, PAPER),
    ...entryLines({ ...page, rows: [entry] }, PAPER),
    ...denialText(denial, PAPER),
  ]
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be there
  expect(texts.join('\n')).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/)
})

describe('of the audit log and the last reload', () => {
  const shown = async (given: Parameters<typeof adminSourcesWith>[0]) =>
    statusScreen(status.schema.parse(await status.answer(adminSourcesWith(given))), PAPER)
  const row = (lines: readonly string[], label: string) => lines.find((line) => line.startsWith(label))
  const report = { changed: [], needsRestart: [], fixedByEnvironment: [], problems: [], warnings: [] }
  const at = Date.parse(NOW)

  test('nothing is shown while there is none', async () => {
    const lines = await shown({})
    expect([row(lines, 'audit'), row(lines, 'config')]).toEqual([undefined, undefined])
  })

  test('where records go is shown, and that they do not', async () => {
    const figures = { path: '/a.log', failClosed: true, waiting: 7, trouble: null }
    expect(row(await shown({ audit: () => figures }), 'audit')).toMatch(/written {2}\/a\.log {2}fail_closed$/)
    const trouble = { code: 'audit.unavailable' as const, message: 'full', since: at }
    expect(row(await shown({ audit: () => ({ ...figures, trouble }) }), 'audit')).toMatch(/not written .*7 bytes wait/)
  })

  test('what changed, what waits for a restart, and what was wrong is shown', async () => {
    const change = (key: string) => ({ key, from: 1, to: 2 })
    const good = { ...report, ok: true, at, changed: [change('a.b')], needsRestart: [change('c.d')] }
    expect(row(await shown({ lastReload: () => good }), 'config')).toMatch(
      /reloaded {2}0 s ago, changed: a\.b {2}waits for a restart: c\.d$/,
    )
    const problems = [{ key: 'x.y', source: 's', problem: 'p', remedy: 'r' }]
    expect(row(await shown({ lastReload: () => ({ ...report, ok: false, at, problems }) }), 'config')).toMatch(
      /not reloaded .*x\.y; what was in force before stays/,
    )
  })
})
