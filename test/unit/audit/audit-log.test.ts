import { expect, test } from 'vitest'
import { AuditLog } from '../../../agent/audit/audit-log.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { auditEvents } from '../../../agent/observability/audit-events.js'
import type { Denied } from '../../../agent/observability/observer.js'
import type { AuditTarget } from '../../../agent/ports/audit-target.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { recordsIn } from '../../support/audit.js'

class FakeTarget implements AuditTarget {
  text = ''
  full = false
  waiting = 0
  failure: Error | null = null
  readonly writing = false
  opened = 0
  left = 0
  write(line: string): boolean {
    if (this.full) return false
    this.text += line
    return true
  }
  retry(): void {}
  reopen(): void {
    this.opened++
  }
  end(): Promise<number> {
    return Promise.resolve(this.left)
  }
}

const HOUR = 3_600_000
const web = SpiffeId.parse('spiffe://example.org/web')
const selectors = new Map([
  ['unix:uid', '7'],
  ['unix:path', '/usr/bin/web'],
  ['unix:sha256', 'a'.repeat(64)],
  ['k8s:ns', 'shop'],
  ['k8s:pod-name', 'web-1'],
  ['docker:container-id', 'b'.repeat(64)],
])
const to = { caller: { pid: 10, uid: 7, gid: 8 }, selectors, key: 'process 10' }

function world({ failClosed = false, off = false } = {}) {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const target = new FakeTarget()
  const events = auditEvents(sinks, clock)
  const log = new AuditLog({ target: off ? null : target, clock, events, nodeId: 'node-1', failClosed })
  log.start({ version: '1.2.3', tenant_id: 'tenant' })
  const x509 = (serial: string, entryId = 'e1') => [
    { entryId, svid: { spiffeId: web, serial, notAfter: clock.now() + HOUR } },
  ]
  const records = () => recordsIn(target.text)
  const types = () => records().map(({ type }) => type)
  return { clock, sinks, target, events, log, x509, records, types }
}

function denial(id: string): Denied {
  const rest = { first: true, process: 'one', unavailable: [], notes: [], nearest: null }
  return { id, method: 'FetchX509SVID', code: 'entry.none', message: 'no identity issued', ...rest }
}

test('an X.509-SVID is recorded with who got it, by which entry, and until when', () => {
  const { log, x509, records, clock } = world()
  log.x509Served(to, x509('01'))
  expect(records().at(-1)).toEqual({
    schema: 'icp-agent/audit/1',
    time: new Date(clock.now()).toISOString(),
    seq: 2,
    node_id: 'node-1',
    type: 'x509_svid_served',
    who: {
      pid: 10,
      uid: 7,
      gid: 8,
      program: '/usr/bin/web',
      program_sha256: 'a'.repeat(64),
      container: 'b'.repeat(64),
      pod: 'shop/web-1',
      unit: null,
      selectors_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    },
    entry_id: 'e1',
    spiffe_id: 'spiffe://example.org/web',
    serial: '01',
    not_after: new Date(clock.now() + HOUR).toISOString(),
  })
})

test('the digest of selectors does not depend on their order', () => {
  const { log, x509, records } = world()
  log.x509Served(to, x509('01'))
  log.x509Served({ ...to, key: 'process 11', selectors: new Map([...selectors].reverse()) }, x509('01'))
  const [, one, other] = records()
  expect(one).toMatchObject({ who: { selectors_sha256: expect.any(String) } })
  expect(other?.['who']).toEqual(one?.['who'])
})

test('a process and serial are recorded once; repetitions are counted when the SVID is replaced', () => {
  const { log, x509, records, types } = world()
  for (let i = 0; i < 3; i++) log.x509Served(to, x509('01'))
  log.x509Served(to, x509('02'))
  expect(types()).toEqual(['agent_started', 'x509_svid_served', 'repeated', 'x509_svid_served'])
  expect(records()[2]).toMatchObject({ of: 2, of_type: 'x509_svid_served', times: 2 })
})

test('repetitions are counted when the process ends, when the SVID expires, and when the agent stops', async () => {
  for (const end of ['process', 'expiry', 'stop'] as const) {
    const { clock, log, x509, types } = world()
    log.x509Served(to, x509('01'))
    log.x509Served(to, x509('01'))
    if (end === 'process') log.workloadEnded(to.key)
    if (end === 'stop') await log.end()
    if (end === 'expiry') {
      const stop = new AbortController()
      const running = log.run(stop.signal)
      await clock.advance(HOUR + 2_000)
      stop.abort()
      await running
    }
    expect(types().slice(0, 3), end).toEqual(['agent_started', 'x509_svid_served', 'repeated'])
  }
})

test('a token is recorded by its id and audiences, which are bounded', () => {
  const { log, records, clock } = world()
  const audience = Array.from({ length: 64 }, (_, i) => `${i}${'x'.repeat(1_000)}`)
  log.jwtServed(to, [{ spiffeId: web, audience, id: 'jti-1', expiresAt: clock.now() + HOUR }])
  const record = records().at(-1)
  expect(record).toMatchObject({ type: 'jwt_svid_served', token_id: 'jti-1', audiences: 64 })
  expect(JSON.stringify(record).length).toBeLessThan(8_192)
})

test('a denial is recorded once for its id, with the reason, and closed when it has rested', async () => {
  const { clock, log, records, types } = world()
  for (let i = 0; i < 4; i++) log.denied(to.caller, selectors, denial('0123456789ab'))
  expect(records().at(-1)).toMatchObject({ type: 'denied', denial_id: '0123456789ab', code: 'entry.none' })
  const stop = new AbortController()
  const running = log.run(stop.signal)
  await clock.advance(10 * 60_000 + 2_000)
  stop.abort()
  await running
  expect(types()).toEqual(['agent_started', 'denied', 'repeated'])
  expect(records().at(-1)).toMatchObject({ of: 2, times: 3 })
})

test('issuance, revocation, withdrawal, attestation, configuration and administrators are recorded', () => {
  const { log, types, clock } = world()
  const svid = { spiffeId: web, serial: '01', notAfter: clock.now() + HOUR }
  log.nodeAttested(svid, 'attested')
  log.x509Issued('e1', svid)
  log.jwtIssued('e1', { spiffeId: web, audience: ['db'], id: 'j', expiresAt: clock.now() })
  log.entryWithdrawn('e1')
  log.x509Revoked('01')
  log.adminConnected({ pid: 1, uid: 0 })
  log.configurationChanged({ keys: ['logging.level'], how: 'SIGHUP' })
  expect(types().slice(1)).toEqual([
    'node_attested',
    'x509_svid_issued',
    'jwt_svid_issued',
    'entry_withdrawn',
    'x509_svid_revoked',
    'admin_access',
    'configuration_changed',
  ])
})

test('records that are lost are counted, and the loss is recorded before the next one', () => {
  const { log, x509, target, types, records, sinks, events } = world()
  target.full = true
  log.x509Served(to, x509('01'))
  log.x509Served(to, x509('02'))
  expect(sinks.total('icp_agent_audit_lost_total')).toBe(2)
  expect(events.trouble).toMatchObject({ code: 'audit.unavailable' })
  target.full = false
  log.x509Served(to, x509('03'))
  expect(types()).toEqual(['agent_started', 'audit_lost', 'x509_svid_served'])
  expect(records().map(({ seq }) => seq)).toEqual([1, 4, 5])
  expect(records()[1]).toMatchObject({ records: 2 })
})

test('a loss is recorded once there is room, though nothing else happens', async () => {
  const { log, x509, target, types, clock, events } = world()
  target.full = true
  log.x509Served(to, x509('01'))
  target.full = false
  const stop = new AbortController()
  const running = log.run(stop.signal)
  await clock.advance(1_000)
  stop.abort()
  await running
  expect(types()).toEqual(['agent_started', 'audit_lost'])
  expect(events.trouble).toBeNull()
})

test('what was left at the end is counted as lost', async () => {
  const { log, target, sinks } = world()
  target.left = 5
  await log.end()
  expect(sinks.total('icp_agent_audit_lost_total')).toBe(5)
})

test('nothing is held while records cannot be written, unless fail_closed is on', async () => {
  const open = world()
  open.target.failure = new Error('ENOSPC')
  expect(open.log.heldGrants()).toBeNull()

  const closed = world({ failClosed: true })
  expect(closed.log.heldGrants()).toBeNull()
  closed.target.failure = new Error('ENOSPC')
  expect(closed.log.heldGrants()).toMatchObject({ code: 'audit.unavailable' })
  let released = 0
  closed.log.onReleased(() => released++)
  closed.target.failure = null
  const stop = new AbortController()
  const running = closed.log.run(stop.signal)
  await closed.clock.advance(1_000)
  stop.abort()
  await running
  expect(released).toBe(1)
  expect(closed.log.heldGrants()).toBeNull()
})

test('with fail_closed a buffer that is nearly full holds grants before a record is lost', () => {
  const { log, target } = world({ failClosed: true })
  target.waiting = 3 * 1024 * 1024 + 1
  expect(log.heldGrants()).toMatchObject({ code: 'audit.unavailable' })
})

test('a name that a terminal would obey is escaped, and is the same name to a reader of JSON', () => {
  const { log, x509, target, records } = world()
  const path = '/tmp/\u001b[2J\u202e\u0085x'
  log.x509Served({ ...to, selectors: new Map([['unix:path', path]]) }, x509('01'))
  expect(['\u001b', '\u202e', '\u0085'].filter((one) => target.text.includes(one))).toEqual([])
  expect(records().at(-1)).toMatchObject({ who: { program: path } })
})

test('an audit log that moves closes what was repeated in the old place, and goes on in the new one', async () => {
  const { log, x509, types, sinks, target } = world()
  log.x509Served(to, x509('01'))
  log.x509Served(to, x509('01'))
  const next = new FakeTarget()
  target.left = 2
  log.moveTo(next)
  log.x509Served(to, x509('01'))
  expect(types()).toEqual(['agent_started', 'x509_svid_served', 'repeated', 'audit_moved'])
  expect(recordsIn(next.text).map(({ type, seq }) => [type, seq])).toEqual([
    ['agent_started', 5],
    ['x509_svid_served', 6],
  ])
  await Promise.resolve()
  expect(sinks.total('icp_agent_audit_lost_total')).toBe(2)
})

test('an audit log that is off records and holds nothing, until a reload names a place', async () => {
  const { log, x509, clock, target, sinks } = world({ off: true, failClosed: true })
  const stop = new AbortController()
  const running = log.run(stop.signal)
  log.x509Served(to, x509('01'))
  await clock.advance('1m')
  expect([log.heldGrants(), log.waiting, log.writing, target.text]).toEqual([null, 0, false, ''])
  expect(clock.pending).toBe(0)
  log.moveTo(target)
  log.x509Served(to, x509('02'))
  expect(recordsIn(target.text).map(({ type, seq }) => [type, seq])).toEqual([
    ['agent_started', 1],
    ['x509_svid_served', 2],
  ])
  target.failure = new Error('full')
  await clock.advance('2s')
  expect(log.heldGrants()).toMatchObject({ code: 'audit.unavailable' })
  let released = 0
  using _told = log.onReleased(() => {
    released += 1
  })
  log.moveTo(null)
  expect([log.heldGrants(), released]).toEqual([null, 1])
  stop.abort()
  await running
  expect(sinks.total('icp_agent_audit_lost_total')).toBe(0)
})

test('what was lost before the audit log was turned off is no loss of the place that a later reload names', () => {
  const { log, x509, target } = world()
  target.full = true
  log.x509Served(to, x509('01'))
  log.moveTo(null)
  const next = new FakeTarget()
  log.moveTo(next)
  expect(recordsIn(next.text).map(({ type }) => type)).toEqual(['agent_started'])
})
