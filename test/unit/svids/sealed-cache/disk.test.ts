import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { cacheKeys } from '../../../../agent/svids/sealed-cache/cache-key.js'
import { TemporaryFiles } from '../../../fakes/files.js'
import { until } from '../../../support/until.js'
import { CacheLife, CacheWorld, entryOf, secretKey } from './cache-world.js'

test('a full disk is said once, goes on from memory, and is said to work again', async () => {
  await using files = await TemporaryFiles.create()
  const world = await CacheWorld.create(files)
  const life = new CacheLife(world, { path: files.path('cache', 'svid.cache') })
  const state = await world.issued('web')
  {
    using _full = files.fail('write', 'ENOSPC')
    life.publish({ web: state })
    await life.whileRunning(async () => {
      for (let i = 0; i < 3; i++) {
        await world.clock.advance('20s')
        await until(() => life.sinks.lines.length > i)
      }
    })
    expect(life.events.trouble()).toMatchObject({ code: 'file.io' })
    expect(life.sinks.events('warn')).toEqual(['Sealed cache could not be written; the agent goes on from memory'])
    expect(life.store.current.states.get('web')).toBe(state)
    expect(await readdir(files.path('cache'))).toEqual([])
  }
  // Nothing has changed meanwhile: it is tried again by itself.
  const stop = new AbortController()
  const running = life.cache.run(stop.signal)
  await world.clock.advance('20s')
  await until(() => life.events.trouble() === null)
  stop.abort(new Error('stop'))
  await running
  expect(life.events.trouble()).toBeNull()
  const again = new CacheLife(world, { path: files.path('cache', 'svid.cache') })
  expect((await again.cache.restore())?.snapshot.states.size).toBe(1)
})

test('a disk that cannot be read at start is an error, not an empty cache', async () => {
  await using files = await TemporaryFiles.create()
  const world = await CacheWorld.create(files)
  const path = files.path('svid.cache')
  const life = new CacheLife(world, { path })
  const state = await world.issued('web')
  life.publish({ web: state })
  await life.cache.run(AbortSignal.abort(new Error('stop')))
  using _broken = files.fail('read', 'EIO')
  await expect(new CacheLife(world, { path }).cache.restore()).rejects.toMatchObject({ code: 'file.io' })
})

test('an SVID that cannot be read costs that SVID alone, and that is said once', async () => {
  await using files = await TemporaryFiles.create()
  const world = await CacheWorld.create(files)
  const path = files.path('svid.cache')
  const life = new CacheLife(world, { path })
  life.publish({ web: await world.issued('web'), db: await world.issued('db'), api: await world.issued('api') })
  await life.cache.run(AbortSignal.abort(new Error('stop')))
  using _broken = files.fail('read', 'EIO', { path: /\.svids/, times: 2 })
  const next = new CacheLife(world, { path })
  const restored = await next.cache.restore()
  expect([restored?.snapshot.entries.size, restored?.snapshot.states.size]).toEqual([3, 1])
  expect(next.sinks.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields)).toMatchObject([
    { svids: 2, error: { code: 'file.io' } },
  ])
  expect((await new CacheLife(world, { path }).cache.restore())?.snapshot.states.size).toBe(3)
})

test('a cache without SVIDs that was sealed with another key is set aside like any other', async () => {
  await using files = await TemporaryFiles.create()
  const world = await CacheWorld.create(files)
  const path = files.path('svid.cache')
  const life = new CacheLife(world, { path })
  life.store.publish({ synced: true, entries: new Map([['a', entryOf('a')]]) }, { entries: 'all', bundles: true })
  await life.cache.run(AbortSignal.abort(new Error('stop')))
  world.keys = { current: secretKey(2), previous: null }
  const next = new CacheLife(world, { path })
  expect(await next.cache.restore()).toBeNull()
  expect(next.sinks.events('warn')).toEqual(['Sealed cache file cannot be trusted and is set aside'])
  expect((await files.list(files.directory)).every((name) => name.includes('.rejected-'))).toBe(true)
})

test('ten thousand entries take less than six megabytes and open again', async () => {
  await using files = await TemporaryFiles.create()
  const world = await CacheWorld.create(files)
  const path = files.path('svid.cache')
  const life = new CacheLife(world, { path })
  const ids = Array.from({ length: 10_000 }, (_, i) => `entry-${i}`)
  life.store.publish(
    { synced: true, entries: new Map(ids.map((id) => [id, entryOf(id)])) },
    { entries: 'all', bundles: false },
  )
  await life.cache.run(AbortSignal.abort(new Error('stop')))
  const size = (await files.read(`${path}.entries`, { maxBytes: 64 * 1_048_576 }))?.length ?? 0
  expect(size).toBeGreaterThan(1_000_000)
  expect(size).toBeLessThan(6_000_000)
  expect((await new CacheLife(world, { path }).cache.restore())?.snapshot.entries.size).toBe(10_000)
})

test('a sealing key is made once, readable by the agent alone, and found again', async () => {
  await using files = await TemporaryFiles.create()
  const path = files.path('cache.key')
  const options = { files, configured: null, previous: null, path }
  const first = await cacheKeys(options)
  expect((await cacheKeys(options)).current.reveal()).toEqual(first.current.reveal())
  const { stat } = await import('node:fs/promises')
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

test('a key that is configured opens what the key in the file has sealed', async () => {
  await using files = await TemporaryFiles.create()
  const path = files.path('cache.key')
  const own = await cacheKeys({ files, configured: null, previous: null, path })
  const keys = await cacheKeys({ files, configured: secretKey(3), previous: null, path })
  expect(keys.current.reveal()).toEqual(secretKey(3).reveal())
  expect(keys.previous?.reveal()).toEqual(own.current.reveal())
})

test('a key file without a key is refused and stays as it is', async () => {
  await using files = await TemporaryFiles.create()
  const path = files.path('cache.key')
  await files.writeAtomically(path, Buffer.from('no key\n'))
  await expect(cacheKeys({ files, configured: null, previous: null, path })).rejects.toMatchObject({
    code: 'cache.rejected',
  })
  expect((await files.read(path, { maxBytes: 100 }))?.toString()).toBe('no key\n')
})

test('a data directory that is taken away is not made again, and the cache below it comes back with the directory', async () => {
  await using files = await TemporaryFiles.create()
  const world = await CacheWorld.create(files)
  const life = new CacheLife(world, { path: files.path('data', 'cache', 'svid.cache') })
  await life.cache.restore()
  expect((await stat(files.path('data', 'cache'))).mode & 0o777).toBe(0o700)
  life.publish({ web: await world.issued('web') })
  await rm(files.path('data'), { recursive: true })
  await life.cache.run(AbortSignal.abort(new Error('stop')))
  expect(await readdir(files.directory)).not.toContain('data')
  expect(life.events.trouble()?.message).toContain('restart the agent')
  await mkdir(files.path('data'), { mode: 0o700 })
  await life.cache.run(AbortSignal.abort(new Error('stop')))
  expect(life.events.trouble()).toBeNull()
  expect((await stat(files.path('data', 'cache'))).mode & 0o777).toBe(0o700)
})
