import { userInfo } from 'node:os'
import { status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import { openStream, SPIFFE } from '../support/raw-stream.js'
import { BundlesWatch, codeOf, fetchJwt, first, JwtBundlesWatch, X509Watch } from './call.js'
import type { X509Message } from './decode.js'
import { line } from './line.js'
import { MINE, NODE } from './scene.js'

const DIALECTS = ['spiffe', 'authsec'] as const
/** Other selectors than those of any other entry. */
const FOREIGN = { ...MINE, 'unix:user': userInfo().username }
const NOBODY = { 'unix:uid': '4294967294' }
const HOUR = 3_600_000
const ids = ({ svids }: X509Message) => svids.map(({ spiffeId }) => spiffeId)

const timeOf = async (call: Promise<unknown>) => {
  const began = performance.now()
  await call
  return performance.now() - began
}
const middle = (times: readonly number[]) => times.toSorted((a, b) => a - b)[times.length >> 1] ?? Number.NaN

line('SM-01', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    await first(new X509Watch(address, dialect))
    const [answered, refused]: [number[], number[]] = [[], []]
    for (let i = 0; i < 9; i++) {
      answered.push(
        await timeOf(i % 2 ? first(new BundlesWatch(address, dialect)) : first(new X509Watch(address, dialect))),
      )
      refused.push(await timeOf(codeOf(openStream(address, `${SPIFFE}/FetchX509SVID`).next())))
    }
    // Nothing is to be made and nothing to be waited for. A splay would show in the middle one, a busy machine in those
    // that are refused for want of the header, too.
    expect(middle(answered)).toBeLessThan(500 + 20 * middle(refused))
  }
})

line.controlled('SM-02', async ({ address, server, web, addEntry }) => {
  for (const dialect of DIALECTS) {
    using watch = new X509Watch(address, dialect)
    expect(ids(await watch.next())).toEqual([web])
    const api = await addEntry(`/api-${dialect}`)
    const message = await watch.until((one) => one.svids.length === 2)
    expect(ids(message)).toEqual([web, api.spiffeId])
    expect(message.svids[0]?.bytes).toEqual(watch.seen[0]?.svids[0]?.bytes)
    await server.deleteEntry(api.id)
    expect(ids(await watch.until((one) => one.svids.length === 1))).toEqual([web])
  }
})

line.controlled('SM-03', async ({ address, server, addEntry }) => {
  using svids = new X509Watch(address, 'spiffe')
  using pem = new X509Watch(address, 'authsec')
  using bundles = new BundlesWatch(address, 'authsec')
  const before = await svids.next()
  const entry = await addEntry('/changed')
  await svids.until((message) => ids(message).includes(entry.spiffeId))
  await server.deleteEntry(entry.id)
  await svids.until((message) => message.svids.length === 1)
  await server.rotateCa()
  // The server names its CA beside what it issues.
  const issued = await addEntry('/issued-by-the-new-authority')
  const authorities = (before.svids[0]?.bundle.length ?? 0) + 1
  await Promise.all([
    svids.until((message) => message.svids[0]?.bundle.length === authorities),
    pem.until((message) => message.svids[0]?.bundle.length === authorities),
    bundles.until((message) => message[server.tenantId]?.length === authorities),
  ])
  await server.deleteEntry(issued.id)
  await svids.until((message) => message.svids.length === 1)
})

line.controlled('SM-06', async ({ address, server, entitled }) => {
  const [web] = server.entries
  if (!web) throw new Error('no entry')
  await entitled()
  for (const dialect of DIALECTS) {
    using watch = new X509Watch(address, dialect)
    await watch.next()
    // What comes with the same sync is not for this process any more.
    const entry = await server.createEntry({
      spiffeId: `spiffe://${server.tenantId}/not-mine-${dialect}`,
      selectors: NOBODY,
    })
    await server.updateEntry(web.id, { ...web, selectors: NOBODY })
    expect(await watch.end()).toBe(status.PERMISSION_DENIED)
    expect(watch.seen.flatMap(ids)).not.toContain(entry.spiffeId)
    await server.deleteEntry(entry.id)
    await server.updateEntry(web.id, { ...web, selectors: MINE })
    await entitled()
  }
})

line.controlled('SM-07', async ({ address, server, web, addEntry }) => {
  const entry = await addEntry('/deleted')
  using standard = new X509Watch(address, 'spiffe')
  using authsec = new X509Watch(address, 'authsec')
  await Promise.all([standard, authsec].map((watch) => watch.until((message) => message.svids.length === 2)))
  await server.deleteEntry(entry.id)
  for (const watch of [standard, authsec]) expect(ids(await watch.next())).toEqual([web])
})

line.controlled('SM-08', async ({ address, server, agent }) => {
  const [web] = server.entries
  if (!web) throw new Error('no entry')
  const watches = DIALECTS.flatMap((dialect) => [
    new X509Watch(address, dialect),
    new BundlesWatch(address, dialect),
    new JwtBundlesWatch(address, dialect),
  ])
  await Promise.all(watches.map((watch) => watch.next()))
  const further = watches.map((watch) => watch.next().catch(() => 'ended'))
  const asked = () => ({
    entries: server.requests.count({ endpoint: '/v1/entries/by-parent' }),
    bundles: server.requests.count({ endpoint: '/bundle/:id' }),
  })
  const before = asked()
  // Touched, but not changed.
  await server.updateEntry(web.id, web)
  await expect.poll(() => asked().entries).toBeGreaterThan(before.entries + 2)
  await expect.poll(() => asked().bundles).toBeGreaterThan(before.bundles)
  const quiet = await Promise.race([...further, new Promise((resolve) => setTimeout(resolve, 100, 'quiet'))])
  expect(quiet).toBe('quiet')
  for (const watch of watches) watch[Symbol.dispose]()
  await Promise.all(further)
  expect(agent.lines.some(({ event }) => event === 'Workload API handler failed')).toBe(false)
})

/** A trust domain is served as long as its SVIDs may live; then its bundle is withdrawn. */
line.controlled('SM-04', async ({ address, server, clock }) => {
  const foreign = 'other.example'
  const parentId = `spiffe://${server.tenantId}/agent/${NODE}`
  const entry = await server.createEntry({ spiffeId: `spiffe://${foreign}/batch`, parentId, selectors: FOREIGN })
  using svids = new X509Watch(address, 'spiffe')
  using pem = new X509Watch(address, 'authsec')
  using bundles = new BundlesWatch(address, 'spiffe')
  using jwtBundles = new JwtBundlesWatch(address, 'spiffe')
  await Promise.all([svids, pem, bundles, jwtBundles].map((watch) => watch.next()))
  await expect
    .poll(() =>
      fetchJwt(address, 'spiffe', { spiffeId: entry.spiffeId }).then(
        (tokens) => tokens.length,
        () => 0,
      ),
    )
    .toBe(1)
  await server.deleteEntry(entry.id)
  await Promise.all([
    svids.until(({ federated }) => `spiffe://${foreign}` in federated),
    pem.until(({ federated }) => foreign in federated),
    bundles.until((message) => `spiffe://${foreign}` in message),
    jwtBundles.until((message) => `spiffe://${foreign}` in message),
  ])
  clock.pass(4 * HOUR)
  const [federated, federatedPem, x509, jwt] = await Promise.all([
    svids.until((message) => !(`spiffe://${foreign}` in message.federated)),
    pem.until((message) => !(foreign in message.federated)),
    bundles.until((message) => !(`spiffe://${foreign}` in message)),
    jwtBundles.until((message) => !(`spiffe://${foreign}` in message)),
  ])
  for (const message of [federated, federatedPem]) expect(message.svids).toHaveLength(1)
  for (const message of [x509, jwt]) expect(Object.keys(message)).toEqual([`spiffe://${server.tenantId}`])
})

/** The last one: nobody serves after it. */
line.controlled('SM-05', async ({ address, agent, entitled }) => {
  await entitled()
  const watches = DIALECTS.flatMap((dialect) => [
    new X509Watch(address, dialect),
    new BundlesWatch(address, dialect),
    new JwtBundlesWatch(address, dialect),
  ])
  await Promise.all(watches.map((watch) => watch.next()))
  await agent.stop()
  for (const watch of watches) expect(await watch.end()).toBe(status.UNAVAILABLE)
})
