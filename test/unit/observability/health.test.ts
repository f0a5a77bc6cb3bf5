import { describe, expect, test } from 'vitest'
import {
  COMPONENTS,
  componentsOf,
  type HealthInput,
  otherTroubles,
  overall,
  restartReason,
} from '../../../agent/observability/health.js'
import { greeting, liveness, readiness, statusDocument } from '../../../agent/observability/health-answers.js'
import type { Trouble } from '../../../agent/observability/once.js'

const NOW = Date.parse('2026-01-01T12:00:00Z')
const MINUTE = 60_000
const AGENT = { tenantId: 'tenant', nodeId: 'node' }

const HEALTHY: HealthInput = {
  now: NOW,
  startedAt: NOW - 60 * MINUTE,
  uptimeMs: 60 * MINUTE,
  stopping: false,
  agentSvid: { spiffeId: 'spiffe://tenant/agent/node', expiresAt: NOW + 60 * MINUTE, trouble: null },
  icpService: { address: 'https://icp.test', reachedAt: NOW - 1000, trouble: null, skewMs: 1200 },
  workloadApi: { socketPath: '/run/a.sock', listening: true, lostSince: null, connections: 3, streams: 2 },
  pods: { callersHidden: null, awaited: false },
  cache: { restored: true, trouble: null },
  sync: { intervalMs: 30_000, lastSuccessAt: NOW - 10_000 },
  entries: { byState: { issued: 1 }, neverIssued: [] },
  validSvids: 1,
  node: null,
  attestors: [{ name: 'docker', active: false, reason: 'there is no engine\u001b' }],
  brokenFiles: [],
}
type Change = { [K in keyof HealthInput]?: HealthInput[K] extends object ? Partial<HealthInput[K]> : HealthInput[K] }
function input(change: Change): HealthInput {
  return {
    ...HEALTHY,
    stopping: change.stopping ?? false,
    validSvids: change.validSvids ?? HEALTHY.validSvids,
    agentSvid: { ...HEALTHY.agentSvid, ...change.agentSvid },
    icpService: { ...HEALTHY.icpService, ...change.icpService },
    workloadApi: { ...HEALTHY.workloadApi, ...change.workloadApi },
    pods: { ...HEALTHY.pods, ...change.pods },
    cache: { ...HEALTHY.cache, ...change.cache },
    sync: { ...HEALTHY.sync, ...change.sync },
    entries: { ...HEALTHY.entries, ...change.entries },
  }
}
const trouble = (code: Trouble['code'], minutes = 1): Trouble => ({
  code,
  message: `says ${code}`,
  since: NOW - minutes * MINUTE,
})

const STARTING = input({
  agentSvid: { expiresAt: null },
  icpService: { reachedAt: null },
  workloadApi: { listening: false },
  cache: { restored: false },
  sync: { lastSuccessAt: null },
  validSvids: 0,
})

describe('components and liveness', () => {
  const locked = trouble('agent.locked_out', 30)
  test.each<[string, HealthInput, Partial<Record<(typeof COMPONENTS)[number], string>>, string, number]>([
    ['all is well', HEALTHY, {}, 'healthy', 200],
    [
      'the agent has just started',
      STARTING,
      { agent_svid: 'starting', icp_service: 'starting', workload_api: 'starting', certificate_cache: 'starting' },
      'starting',
      200,
    ],
    ['renewal fails', input({ agentSvid: { trouble: locked } }), { agent_svid: 'degraded' }, 'degraded', 200],
    [
      'the node is locked out',
      input({ agentSvid: { expiresAt: null, trouble: locked } }),
      { agent_svid: 'unhealthy' },
      'degraded',
      200,
    ],
    ['the agent SVID expired', input({ agentSvid: { expiresAt: NOW } }), { agent_svid: 'unhealthy' }, 'degraded', 200],
    [
      'the server is away',
      input({ icpService: { trouble: trouble('icp.timeout') } }),
      { icp_service: 'degraded' },
      'degraded',
      200,
    ],
    [
      'the server is away for long',
      input({ icpService: { trouble: trouble('icp.timeout', 11) } }),
      { icp_service: 'unhealthy' },
      'degraded',
      200,
    ],
    [
      'the cache cannot be written',
      input({ cache: { trouble: trouble('file.io') } }),
      { certificate_cache: 'degraded' },
      'degraded',
      200,
    ],
    ['the socket is lost', input({ workloadApi: { lostSince: NOW } }), { workload_api: 'unhealthy' }, 'unhealthy', 503],
    [
      'the socket is gone because the agent stops',
      input({ stopping: true, workloadApi: { lostSince: NOW } }),
      { workload_api: 'unhealthy' },
      'degraded',
      200,
    ],
  ])('when %s', (_, given, different, status, code) => {
    const expected = Object.fromEntries(COMPONENTS.map((name) => [name, different[name] ?? 'healthy']))
    const found = Object.fromEntries(COMPONENTS.map((name) => [name, componentsOf(given)[name].status]))
    expect(found).toEqual(expected)
    expect(liveness(given, 0, false)).toEqual({ code, body: { status } })
  })

  test('a stuck event loop is unhealthy, a slow one is not', () => {
    expect(liveness(HEALTHY, 5000, false).code).toBe(503)
    expect(liveness(HEALTHY, 4999, false).code).toBe(200)
    expect(liveness(HEALTHY, 5000, true).body['reasons']).toEqual(['a turn of the event loop took 5 s'])
  })

  test('verbose tells the reasons and components', () => {
    const { body } = liveness(input({ agentSvid: { expiresAt: null, trouble: trouble('agent.locked_out') } }), 0, true)
    expect(body['reasons']).toEqual([expect.stringContaining('agent.locked_out')])
    expect(body['components']).toMatchObject({ agent_svid: { status: 'unhealthy', since: '2026-01-01T11:59:00.000Z' } })
  })

  test.each(['agent.certificate_refused', 'icp.agent_inactive'] as const)(
    'while the certificate is valid and of no use (%s), the agent is degraded, the server is not, and the reason is told',
    (code) => {
      const { agent_svid, icp_service } = componentsOf(input({ agentSvid: { trouble: trouble(code) } }))
      expect([agent_svid.status, icp_service.status]).toEqual(['degraded', 'healthy'])
      expect(agent_svid.message).toMatch(/^valid until .*, but of no use: says /)
      expect(agent_svid.message).toContain(`(${code})`)
    },
  )

  test('the code of a trouble is told however long its message is', () => {
    const long = { ...trouble('agent.certificate_refused'), message: 'x'.repeat(1000) }
    expect(componentsOf(input({ agentSvid: { trouble: long } })).agent_svid.message).toMatch(
      /x… \(agent\.certificate_refused\)$/,
    )
  })

  test('a lost socket is one reason, not two', () => {
    expect(liveness(input({ workloadApi: { lostSince: NOW } }), 0, true).body['reasons']).toHaveLength(1)
  })
})

describe('readiness', () => {
  test.each<[string, HealthInput, boolean]>([
    ['listening and synced', HEALTHY, true],
    ['synced without any SVID', input({ validSvids: 0 }), true],
    ['not synced, but with a valid SVID from the cache', input({ sync: { lastSuccessAt: null } }), true],
    ['neither synced nor with an SVID', input({ sync: { lastSuccessAt: null }, validSvids: 0 }), false],
    ['not listening', input({ workloadApi: { listening: false } }), false],
    ['without its socket', input({ workloadApi: { lostSince: NOW } }), false],
    ['stopping', input({ stopping: true }), false],
    ['in a PID namespace of its own, in a pod', input({ pods: { callersHidden: 'by_namespaces' } }), false],
    ['refusing whom it cannot see, in a pod', input({ pods: { callersHidden: 'refused' } }), false],
    ['waiting for the first list of pods', input({ pods: { awaited: true } }), false],
    ['without its own SVID but with one to serve', input({ agentSvid: { expiresAt: null } }), true],
  ])('%s: %#', (_, given, ready) => {
    expect(readiness(given, false)).toEqual({ code: ready ? 200 : 503, body: { ready } })
    expect((readiness(given, true).body['reasons'] as string[]).length > 0).toBe(!ready)
  })
})

describe('status', () => {
  test('it tells why the agent is not ready, with what to do and what the platform says', () => {
    const { body } = statusDocument(
      {
        ...input({ pods: { callersHidden: 'by_namespaces', awaited: true } }),
        attestors: [{ name: 'kubernetes', active: true, reason: 'Kubernetes answered 401\u001b' }],
      },
      0,
      AGENT,
      '1.2.3',
    )
    expect(body['ready']).toBe(false)
    expect(body['unready_reasons']).toEqual([
      expect.stringMatching(/PID namespace of its own.*hostPID: true/),
      expect.stringMatching(/wait_for_kubernetes.*Kubernetes answered 401\\u001b$/),
    ])
    expect(statusDocument(HEALTHY, 0, AGENT, '1.2.3').body['unready_reasons']).toEqual([])
  })

  test('it has the keys that existing tools read', () => {
    const { code, body } = statusDocument(HEALTHY, 0, AGENT, '1.2.3')
    expect(code).toBe(200)
    expect(body).toMatchObject({
      status: 'healthy',
      ready: true,
      uptime_seconds: 3600,
      start_time: '2026-01-01T11:00:00.000Z',
      agent: { tenant_id: 'tenant', node_id: 'node' },
    })
    expect(Object.keys(body['components'] as object)).toEqual([...COMPONENTS])
  })

  test('it tells the sync interval in force, its age and the skew', () => {
    const { body } = statusDocument(HEALTHY, 0, AGENT, '1.2.3')
    expect(body).toMatchObject({
      degraded_since: null,
      sync: { interval_seconds: 30, last_success: '2026-01-01T11:59:50.000Z', age_seconds: 10 },
      icp_service: { clock_skew_seconds: 1.2 },
    })
  })

  test('before a request has succeeded it does not say that none was sent', () => {
    const { message } = componentsOf(STARTING).icp_service
    expect(message).toBe('no request to the ICP server has succeeded yet')
  })

  test('degraded_since is the earliest trouble', () => {
    const given = input({
      agentSvid: { trouble: trouble('icp.timeout', 5) },
      icpService: { trouble: trouble('icp.timeout', 7) },
    })
    expect(statusDocument(given, 0, AGENT, '1').body['degraded_since']).toBe('2026-01-01T11:53:00.000Z')
  })

  test('entries that can never be issued are listed up to 50, with their number, free of control characters', () => {
    const neverIssued = Array.from({ length: 60 }, (_, i) => ({
      id: `${i}`,
      spiffeId: 'spiffe://tenant/a',
      code: 'entry.shadowed',
      reason: `\u001b[31m${'x'.repeat(1000)}`,
    }))
    const { body } = statusDocument(input({ entries: { neverIssued } }), 0, AGENT, '1')
    const entries = body['entries'] as { never_issued: { reason: string }[]; never_issued_total: number }
    expect(entries.never_issued).toHaveLength(50)
    expect(entries.never_issued_total).toBe(60)
    expect(entries.never_issued[0]?.reason).toMatch(/^\\u001b\[31mx{250}/)
    expect(entries.never_issued[0]?.reason.length).toBeLessThan(320)
  })

  test('workload attestors are listed with why they are on or off', () => {
    expect(statusDocument(HEALTHY, 0, AGENT, '1').body['attestors']).toEqual([
      { name: 'docker', active: false, reason: 'there is no engine\\u001b' },
    ])
  })

  test('before anything happened, nothing is made up', () => {
    const { body } = statusDocument(STARTING, 0, AGENT, '1')
    expect(body).toMatchObject({
      status: 'starting',
      ready: false,
      sync: { last_success: null, age_seconds: null },
      agent: { svid_expires_at: null },
    })
  })

  test('the root names the service', () => {
    expect(greeting(AGENT, '1.2.3').body).toEqual({
      service: 'ICP Agent',
      version: '1.2.3',
      tenant_id: 'tenant',
      node_id: 'node',
    })
  })
})

test('starting while the server is away is degraded: that is what a person must look at', () => {
  const given = input({
    agentSvid: { expiresAt: null, trouble: trouble('icp.unreachable') },
    cache: { restored: false },
  })
  expect(overall(given, 0)).toBe('degraded')
})

test('too few open files degrade the agent, and enough do not', () => {
  const openFiles = { limit: 1024, connections: 160, short: true }
  expect(overall({ ...HEALTHY, openFiles }, 0)).toBe('degraded')
  expect(otherTroubles({ ...HEALTHY, openFiles }).map(({ message }) => message)).toEqual([
    expect.stringMatching(/1024 open files allows 160 connections.*LimitNOFILE/),
  ])
  expect(restartReason({ ...HEALTHY, openFiles }, 0)).toBeNull()
  expect(overall({ ...HEALTHY, openFiles: { ...openFiles, short: false } }, 0)).toBe('healthy')
})
