import { expect, test } from 'vitest'
import { ChangeLog } from '../../../agent/admin/changes.js'
import { healthChanges } from '../../../agent/main/health-changes.js'
import type { HealthInput } from '../../../agent/observability/health.js'
import { healthy } from '../../fakes/admin.js'
import { FakeClock } from '../../fakes/clock.js'

test('what changes in health is told once; what is, and what a start ends with, is not', () => {
  const clock = new FakeClock()
  const changes = new ChangeLog(clock)
  const look = healthChanges(changes)
  const now = clock.now()
  const away = { code: 'icp.unreachable' as const, message: 'no route', since: now }
  const server = (trouble: typeof away | null): Partial<HealthInput> => ({
    icpService: { address: 'https://icp.test', reachedAt: now, trouble, skewMs: null },
  })
  const docker = (active: boolean): Partial<HealthInput> => ({ attestors: [{ name: 'docker', active, reason: 'why' }] })
  look(healthy(now, { cache: { restored: false, trouble: null } }))
  for (const change of [{}, server(away), server(away), server(null), docker(true), docker(true)])
    look(healthy(now, change))
  expect(changes.all.map(({ kind, subject, text }) => [kind, subject, text.split(':')[0]])).toEqual([
    ['health', 'icp_service', 'icp_service is degraded'],
    ['health', 'icp_service', 'icp_service is healthy'],
    ['platform', 'docker', 'docker is on'],
  ])
})
