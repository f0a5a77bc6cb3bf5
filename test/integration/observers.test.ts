import { expect, test, vi } from 'vitest'
import { WorkloadApiClient } from '../../agent/client/workload-api-client.js'
import type { Observer } from '../../agent/observability/observer.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { eventually } from '../support/until.js'
import { served, uid } from './resilience/support.js'

vi.setConfig({ testTimeout: 120_000 })

/** Remembers every call as its name and values. */
function recorder() {
  const told: (readonly [what: string, ...values: unknown[]])[] = []
  const note =
    (what: keyof Observer) =>
    (...values: unknown[]) =>
      void told.push([what, ...values])
  const observer: Required<Observer> = {
    nodeAttested: note('nodeAttested'),
    x509Issued: note('x509Issued'),
    jwtIssued: note('jwtIssued'),
    x509Served: note('x509Served'),
    jwtServed: note('jwtServed'),
    denied: note('denied'),
    adminConnected: note('adminConnected'),
    callerAccepted: note('callerAccepted'),
    attestorAsked: note('attestorAsked'),
    workloadAttested: note('workloadAttested'),
    decided: note('decided'),
    pushed: note('pushed'),
    issuanceEnded: note('issuanceEnded'),
    workloadEnded: note('workloadEnded'),
    configurationChanged: note('configurationChanged'),
    entryWithdrawn: note('entryWithdrawn'),
    x509Revoked: note('x509Revoked'),
  }
  const of = (what: keyof Observer) => told.filter(([name]) => name === what).map(([, ...values]) => values)
  return { observer, of }
}

test('an observer is told with values who was attested, what was issued, served and withdrawn, and who was denied', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const entry = await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const { observer, of } = recorder()
  const settings = { SECURITY__REVOKE_REMOVED: 'true' }
  await using agent = await startAgent({ dir: dir.path, server, settings, world: { observers: [observer] } })
  await served(agent.address)
  const client = WorkloadApiClient.connect({ address: agent.address, clock: new SystemClock() })
  const [x509] = (await client.fetchX509Svid()).svids
  const [jwt] = await client.fetchJwtSvids({ audience: ['db'] })
  client[Symbol.dispose]()

  const svid = { spiffeId: x509?.svid.spiffeId, serial: x509?.svid.serial, notAfter: x509?.svid.notAfter }
  expect(of('nodeAttested')).toEqual([[expect.objectContaining({ serial: expect.any(String) }), 'attested']])
  expect(of('x509Issued')).toEqual([[entry.id, expect.objectContaining(svid)]])
  const [, payload = ''] = jwt?.token.reveal().split('.') ?? []
  const { jti, exp } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { jti: string; exp: number }
  const token = { spiffeId: jwt?.spiffeId, audience: ['db'], id: jti, expiresAt: exp * 1000 }
  expect(of('jwtIssued')).toEqual([[entry.id, expect.objectContaining(token)]])

  const to = expect.objectContaining({
    caller: expect.objectContaining({ pid: process.pid, uid: Number(uid) }),
    selectors: expect.any(Map),
  })
  expect(of('x509Served')).toContainEqual([to, [expect.objectContaining({ svid: expect.objectContaining(svid) })]])
  expect(of('jwtServed')).toEqual([[to, [expect.objectContaining(token)]]])

  await server.deleteEntry(entry.id)
  await eventually(
    () => of('x509Revoked'),
    (revoked) => revoked.length > 0,
  )
  expect(of('entryWithdrawn')).toEqual([[entry.id]])
  expect(of('x509Revoked')).toEqual([[x509?.svid.serial]])
  const late = WorkloadApiClient.connect({ address: agent.address, clock: new SystemClock() })
  await expect(late.fetchX509Svid()).rejects.toThrow()
  late[Symbol.dispose]()
  const { pid } = process
  expect(of('denied')).toEqual([
    [
      expect.objectContaining({ pid, uid: Number(uid) }),
      expect.any(Map),
      expect.objectContaining({ id: expect.stringMatching(/^[0-9a-f]{12}$/), code: 'entry.none', first: true }),
    ],
  ])
})
