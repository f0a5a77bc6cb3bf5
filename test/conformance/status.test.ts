import { status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import type { DialectName } from '../../agent/client/dialect-name.js'
import { startAgent, temporaryDirectory } from '../support/agent.js'
import { callUnary, openStream, SPIFFE } from '../support/raw-stream.js'
import { BundlesWatch, codeOf, fetchJwt, first, JwtBundlesWatch, SERVICE, validateJwt, X509Watch } from './call.js'
import { line } from './line.js'
import { MINE } from './scene.js'

const SOMEBODY_ELSE = 'spiffe://conformance.example/somebody-else'
const MALFORMED = ['web', 'https://td/web', 'spiffe://', 'spiffe://TD/web', 'spiffe://td/web/', 'spiffe://td/web?q']

/** Each method once, with a request that is as it should be. */
const CALLS = {
  FetchX509SVID: (address: string, dialect: DialectName): Promise<unknown> => first(new X509Watch(address, dialect)),
  FetchX509Bundles: (address: string, dialect: DialectName): Promise<unknown> =>
    first(new BundlesWatch(address, dialect)),
  FetchJWTSVID: (address: string, dialect: DialectName): Promise<unknown> => fetchJwt(address, dialect),
  FetchJWTBundles: (address: string, dialect: DialectName): Promise<unknown> =>
    first(new JwtBundlesWatch(address, dialect)),
  ValidateJWTSVID: (address: string, dialect: DialectName): Promise<unknown> => validateJwt(address, dialect, 'x'),
}

line('ST-01', async ({ address }) => {
  expect(await codeOf(callUnary(address, `${SPIFFE}/FetchJWTSVID`))).toBe(status.INVALID_ARGUMENT)
  using stream = openStream(address, `${SPIFFE}/FetchX509SVID`, { metadata: { 'workload.spiffe.io': 'True' } })
  expect(await codeOf(stream.next())).toBe(status.INVALID_ARGUMENT)
})

line('ST-02', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    const calls = [
      () => fetchJwt(address, dialect, { audience: [] }),
      () => fetchJwt(address, dialect, { audience: [''] }),
      () => validateJwt(address, dialect, '', 'audience'),
      () => validateJwt(address, dialect, 'token', ''),
    ]
    for (const call of calls) expect(await codeOf(call()), dialect).toBe(status.INVALID_ARGUMENT)
  }
})

line('ST-03', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    for (const spiffeId of MALFORMED) {
      expect(await codeOf(fetchJwt(address, dialect, { spiffeId })), spiffeId).toBe(status.INVALID_ARGUMENT)
    }
  }
})

line.controlled('ST-04', async ({ server }) => {
  await using dir = await temporaryDirectory()
  const away = { address: 'https://127.0.0.1:9/spiresvc', caPath: server.caPath }
  await using agent = await startAgent({ dir: dir.path, server: away, settings: { WORKLOAD_API__HOLD: '50ms' } })
  for (const dialect of ['spiffe', 'authsec'] as const) {
    for (const [method, call] of Object.entries(CALLS)) {
      expect(await codeOf(call(agent.address, dialect)), `${dialect} ${method}`).toBe(status.UNAVAILABLE)
    }
  }
})

line.controlled('ST-05', async ({ stranger }) => {
  const address = await stranger()
  for (const dialect of ['spiffe', 'authsec'] as const) {
    for (const method of ['FetchX509SVID', 'FetchJWTSVID', 'ValidateJWTSVID'] as const) {
      expect(await codeOf(CALLS[method](address, dialect)), method).toBe(status.PERMISSION_DENIED)
    }
  }
})

line('ST-06', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    const asked = fetchJwt(address, dialect, { spiffeId: SOMEBODY_ELSE })
    expect(await codeOf(asked)).toBe(status.PERMISSION_DENIED)
  }
})

line.controlled('ST-07', async ({ stranger }) => {
  const address = await stranger()
  for (const dialect of ['spiffe', 'authsec'] as const) {
    for (const method of ['FetchX509Bundles', 'FetchJWTBundles'] as const) {
      expect(await codeOf(CALLS[method](address, dialect)), method).toBe(status.PERMISSION_DENIED)
    }
  }
})

line.controlled('ST-08', async ({ address, server, entitled }) => {
  const [web] = server.entries
  if (!web) throw new Error('no entry')
  using standard = new X509Watch(address, 'spiffe')
  using authsec = new X509Watch(address, 'authsec')
  await Promise.all([standard.next(), authsec.next()])
  // The entry stays, but asks for more than this process is.
  await server.updateEntry(web.id, { ...web, selectors: { ...MINE, 'unix:gid': '4294967294' } })
  expect(await Promise.all([standard.end(), authsec.end()])).toEqual([
    status.PERMISSION_DENIED,
    status.PERMISSION_DENIED,
  ])
  await server.updateEntry(web.id, { ...web, selectors: MINE })
  await entitled()
})

line('ST-09', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    const { path, metadata } = SERVICE[dialect]
    for (const method of ['FetchWITSVID', 'FetchWITBundles', 'NoSuchMethod']) {
      const call = callUnary(address, `${path}/${method}`, { metadata })
      expect(await codeOf(call), `${dialect} ${method}`).toBe(status.UNIMPLEMENTED)
    }
  }
})

line('ST-10', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    for (const svid of ['x', 'a.b.c', 'e30.e30.e30', '{"payload":"e30","signatures":[]}']) {
      expect(await codeOf(validateJwt(address, dialect, svid)), svid).toBe(status.INVALID_ARGUMENT)
    }
  }
})

line.controlled('ST-11', async ({ address, server, agent, addEntry, figure }) => {
  const open = () => figure('icp_agent_streams', { method: 'FetchX509SVID' })
  const pushes = () => figure('icp_agent_pushes_total', { method: 'FetchX509SVID' })
  const cancelled = new X509Watch(address, 'spiffe')
  await cancelled.next()
  cancelled[Symbol.dispose]()
  await expect.poll(open).toBe(0)
  const before = await pushes()
  using other = new X509Watch(address, 'spiffe')
  await other.next()
  const entry = await addEntry('/after-the-cancellation')
  await other.until(({ svids }) => svids.some(({ spiffeId }) => spiffeId === entry.spiffeId))
  // The two pushes are those of the stream that is open.
  expect(await pushes()).toBe(before + other.seen.length)
  expect(cancelled.seen).toHaveLength(1)
  await server.deleteEntry(entry.id)
  expect(agent.lines.some(({ event }) => event === 'Workload API handler failed')).toBe(false)
})
