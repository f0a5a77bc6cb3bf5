import { expect, test } from 'vitest'
import { AuthorityHistory, type AuthorityHistoryState } from '../../../agent/svids/authority-history.js'
import { authorityOf } from '../../fakes/identities.js'
import { HOUR, MINUTE, SyncWorld } from './sync-world.js'

const DOMAIN = 'acme.app.example'

/** An agent that has issued an SVID by the time that the cache of its earlier run can be read. */
async function running() {
  const world = await SyncWorld.create({ workloadTrustDomain: DOMAIN })
  world.server.addEntry({ id: 'a', path: '/a', selectors: { 'unix:path': '/bin/a' } })
  await world.synced()
  await world.issue('a')
  const restore = (state: AuthorityHistoryState) =>
    world.sync.restore({ entries: world.store.current.entries, states: new Map(), jwtKeys: [] }, state)
  return { world, restore, domains: () => [...world.store.current.bundles.keys()] }
}

test('a cache that is opened late takes no bundle from an SVID that was issued meanwhile', async () => {
  const { world, restore, domains } = await running()
  const before = domains()
  restore({ ...world.sync.history.state, domains: new Map([[DOMAIN, world.clock.now() - 2 * HOUR]]) })
  expect(world.state('a')?.kind).toBe('issued')
  expect(domains()).toEqual(before)
})

test('what a late cache knows besides is served from then on', async () => {
  const { world, restore, domains } = await running()
  const { state } = AuthorityHistory.empty(world.server.tenantId)
    .named([authorityOf('other', { notAfter: world.clock.now() + 9 * HOUR })], world.clock.now() - 10 * MINUTE)
    .markServed('other.example', world.clock.now() + HOUR)
  const before = domains()
  restore(state)
  expect(domains().sort()).toEqual([...before, 'other.example'].sort())
  expect(world.store.current.bundles.get(DOMAIN)?.authorities).toHaveLength(2)
})
