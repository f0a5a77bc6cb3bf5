import { expect, test } from 'vitest'
import { CacheLife, CacheWorld, entryOf } from './cache-world.js'

test('entries that are too large for the cache are said once, and end nothing', async () => {
  const world = await CacheWorld.create()
  const life = new CacheLife(world)
  const entry = { ...entryOf('web'), selectors: new Map([['unix:uid', 'x'.repeat(64 * 1_048_576)]]) }
  life.store.publish({ synced: true, entries: new Map([['web', entry]]) }, { entries: 'all', bundles: true })
  await life.cache.run(AbortSignal.abort(new Error('stop')))
  expect(life.events.trouble()).toMatchObject({ code: 'file.too_large' })
  expect(life.sinks.events('warn')).toEqual(['Sealed cache could not be written; the agent goes on from memory'])

  life.store.publish({ entries: new Map([['web', entryOf('web')]]) }, { entries: 'all', bundles: false })
  await life.cache.run(AbortSignal.abort(new Error('stop')))
  expect(life.events.trouble()).toBeNull()
})
