import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import type { HealthInput } from '../../../agent/observability/health.js'
import { greeting, liveness, readiness, statusDocument } from '../../../agent/observability/health-answers.js'

const PAGE = readFileSync('docs/health.md', 'utf8')
/** What the page names between backticks. */
const NAMED = new Set([...PAGE.replace(/^```.*?^```$/gms, '').matchAll(/`([^`]+)`/g)].map(([, name]) => name))
const AGENT = { tenantId: 'tenant', nodeId: 'node' }

const FACTS: HealthInput = {
  now: 0,
  startedAt: 0,
  uptimeMs: 0,
  stopping: false,
  agentSvid: { spiffeId: null, expiresAt: null, trouble: null },
  icpService: { address: 'https://icp.test', reachedAt: null, trouble: null, skewMs: null },
  workloadApi: { socketPath: '/run/a.sock', listening: true, lostSince: null, connections: 0, streams: 0 },
  pods: { callersHidden: null, awaited: false },
  cache: { restored: true, trouble: null },
  sync: { intervalMs: 30_000, lastSuccessAt: null },
  entries: {
    byState: {},
    neverIssued: [{ id: 'a', spiffeId: 'spiffe://tenant/a', code: 'entry.invalid', reason: 'no selectors' }],
  },
  validSvids: 0,
  node: { hostname: '', username: '', os: '', kernel: '', arch: '', cpus: 1, memoryBytes: 1 },
  attestors: [{ name: 'docker', active: false, reason: 'no engine' }],
  brokenFiles: [{ path: '/ca', code: 'file.broken', message: 'it is empty', since: 0 }],
}

/** The keys of an answer, those of what is in it too. */
function keysOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(keysOf)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => [key, ...keysOf(inner)])
}

it.each([
  ['/status', statusDocument(FACTS, 0, AGENT, '1').body],
  ['/healthz?verbose', liveness(FACTS, 0, true).body],
  ['/', greeting(AGENT, '1').body],
])('docs/health.md names every field of %s', (_, body) => {
  const keys = keysOf(body)
  expect(keys.length).toBeGreaterThan(3)
  expect(keys.filter((key) => !NAMED.has(key))).toEqual([])
})

it('docs/health.md names every field of /ready?verbose', () => {
  expect(keysOf(readiness(FACTS, true).body)).toEqual(['ready', 'reasons'])
  expect([PAGE.includes('{"ready":true}'), NAMED.has('reasons')]).toEqual([true, true])
})

it('the rows of /status in docs/health.md are its fields, in order', () => {
  const table = PAGE.split('| field |')[1] ?? ''
  const fields = [...table.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
  )
  expect(fields).toEqual(Object.keys(statusDocument(FACTS, 0, AGENT, '1').body))
})

it('docs/health.md names every address that is answered', () => {
  const server = readFileSync('agent/observability/health-routes.ts', 'utf8')
  const paths = [...server.matchAll(/'(\/[a-z]*)'[:,]/g)].map(([, path]) => path)
  expect(paths.length).toBeGreaterThan(6)
  expect(paths.filter((path) => !NAMED.has(path))).toEqual([])
})
