import { createPrivateKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseAuthority } from '../../../agent/identity/authority.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { verifyX509Svid } from '../../../agent/identity/verify-svid.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { type Context, served, svidStream, uid } from './support.js'

const gid = String(process.getgid?.())

/** What a peer does that has these certificates for its bundle. Throws `svid.*`. */
function accept({ leaf, key, bundle, ids: [id = ''] }: Context, authorities = bundle): string {
  const svid = verifyX509Svid({
    chain: [leaf.raw],
    key: createPrivateKey({ key: Buffer.from(key), type: 'pkcs8', format: 'der' }),
    expected: SpiffeId.parse(id),
    named: id,
    authorities: authorities.map(({ raw }) => parseAuthority(raw)),
    now: Date.now(),
  })
  return svid.spiffeId.uri
}

test('a published bundle that names only a CA of which nobody here has an SVID orphans none', {
  timeout: 90_000,
}, async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  server.setFault({ kind: 'bundle-served' })
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  await using agent = await startAgent({ dir: dir.path, server, settings: { SYNC__BUNDLE_INTERVAL: '1s' } })
  const before = await served(agent.address)
  using stream = svidStream(agent.address)
  await stream.next()
  // Nothing is issued any more: the new CA is known from the published bundle alone.
  using _issuing = server.setFault({ kind: 'status', status: 503, endpoint: '/v1/workload/attest' })
  using _renewing = server.setFault({ kind: 'status', status: 503, endpoint: '/v1/agent/renew' })
  await server.rotateCa()

  const after = await stream.until(({ bundle }) => bundle.length === 2)
  expect(after.leaf.fingerprint256).toBe(before.leaf.fingerprint256)
  expect(accept(after)).toBe(`spiffe://${TENANT}/web`)
  expect(() => accept(after, after.bundle.slice(1))).toThrow()

  const asked = server.requests.count({ endpoint: '/bundle/:id' })
  await eventually(
    () => server.requests.count({ endpoint: '/bundle/:id' }),
    (count) => count >= asked + 2,
  )
  expect(accept(await served(agent.address))).toBe(`spiffe://${TENANT}/web`)
})

test('an answer to an issuance that names only a foreign CA changes neither the bundle nor the SVID', {
  timeout: 90_000,
}, async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  await using agent = await startAgent({ dir: dir.path, server, settings: { WORKLOAD_API__HOLD: '2s' } })
  const before = await served(agent.address)
  using stream = svidStream(agent.address)
  await stream.next()
  using _lies = server.setFault({ kind: 'certificate', flaw: 'no-issuer', endpoint: '/v1/workload/attest' })
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web2`, selectors: { 'unix:uid': uid, 'unix:gid': gid } })
  await agent.logged('Workload SVID not issued')
  const after = await served(agent.address)
  expect(after.leaf.fingerprint256).toBe(before.leaf.fingerprint256)
  expect(after.bundle.map(({ fingerprint256 }) => fingerprint256)).toEqual(
    before.bundle.map(({ fingerprint256 }) => fingerprint256),
  )
})
