import { beforeEach, describe, expect, test } from 'vitest'
import { CacheLife, CacheWorld } from './cache-world.js'

let world: CacheWorld
beforeEach(async () => {
  world = await CacheWorld.create()
})

describe('a clock behind the time last seen', () => {
  test('is told, and what was found is handed over as doubtful', async () => {
    await world.written('web')
    await world.clock.jump('-10m')
    const life = new CacheLife(world)
    expect(await life.cache.restore()).toMatchObject({ clockBehind: true })
    expect(life.events.trouble()).toMatchObject({ code: 'cache.rejected' })
    life.events.clockConfirmed()
    expect(life.events.trouble()).toBeNull()
  })

  test('by less than a minute is not called wrong', async () => {
    await world.written('web')
    await world.clock.jump('-50s')
    expect(await new CacheLife(world).cache.restore()).toMatchObject({ clockBehind: false })
  })

  test('does not bring back what had expired when it was last right', async () => {
    await world.written('web')
    await world.clock.advance('2h')
    // A life that only looked, and wrote down what time it was.
    const looking = new CacheLife(world)
    const found = await looking.cache.restore()
    await looking.whileRunning(() =>
      looking.store.publish({ synced: true, ...found?.snapshot }, { entries: 'all', bundles: false }),
    )
    await world.clock.jump('-2h')
    expect(await new CacheLife(world).cache.restore()).toMatchObject({ clockBehind: true })
  })
})

describe('a clock that is set back while the agent runs', () => {
  test('leaves the time last seen where it was: a restart doubts it', async () => {
    const life = new CacheLife(world)
    const state = await world.issued('web')
    await life.whileRunning(async () => {
      life.publish({ web: state })
      await world.clock.advance('2s')
      await world.clock.jump('-1h')
    })
    expect(await new CacheLife(world).cache.restore()).toMatchObject({ clockBehind: true })
  })

  test('takes it back where the server agrees: it was ahead before', async () => {
    const life = new CacheLife(world)
    const state = await world.issued('web')
    await life.whileRunning(async () => {
      life.publish({ web: state })
      await world.clock.advance('2s')
      await world.clock.jump('-1h')
      life.clockAgrees = true
    })
    expect(await new CacheLife(world).cache.restore()).toMatchObject({ clockBehind: false })
  })

  test('is written down every five minutes, whether or not anything changes', async () => {
    const life = new CacheLife(world)
    const state = await world.issued('web')
    await life.whileRunning(async () => {
      life.publish({ web: state })
      await world.clock.advance('6m')
    })
    await world.clock.jump('-3m')
    expect(await new CacheLife(world).cache.restore()).toMatchObject({ clockBehind: true })
  })
})
