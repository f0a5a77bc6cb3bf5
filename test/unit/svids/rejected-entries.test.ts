import { expect, test } from 'vitest'
import { SyncWorld } from './sync-world.js'

test('entries that nobody can use are said once each, and of very many only the first hundred', async () => {
  const world = await SyncWorld.create()
  const rejected = Array.from({ length: 1_000 }, (_, i) => ({ id: `e${i}`, reason: 'it is no object' }))
  world.server.entries = async () => ({ unchanged: false, entries: [], rejected })
  const said = () => world.sinks.events('warn').length
  await world.synced()
  expect(said()).toBe(100)
  await world.synced()
  expect(said()).toBe(100)
  expect(world.sync.rejected.size).toBe(1_000)
  rejected[999] = { id: 'e999', reason: 'its selectors are no object' }
  await world.synced()
  expect(said()).toBe(101)
})

test('entries without an id are one line, however many there are', async () => {
  const world = await SyncWorld.create()
  const rejected = ['it is no object', 'its id is no text', 'it is no object'].map((reason) => ({
    id: '(none)',
    reason,
  }))
  world.server.entries = async () => ({ unchanged: false, entries: [], rejected })
  for (let i = 0; i < 3; i++) await world.synced()
  expect(world.sinks.events('warn')).toHaveLength(1)
})

test('entries that nobody can use any more are said though their withdrawal is doubted', async () => {
  const world = await SyncWorld.create()
  world.server.addEntry({ id: 'a', path: '/a', selectors: { 'unix:uid': '1' } })
  await world.synced()
  world.server.entries = async () => ({
    unchanged: false,
    entries: [],
    rejected: [{ id: 'a', reason: 'its selectors are no object' }],
  })
  await world.synced()
  expect([...world.sync.rejected]).toEqual([['a', 'its selectors are no object']])
  expect(world.sinks.events('warn')).toContain('Registration entry cannot be used')
  expect(world.store.current.entries.has('a')).toBe(true)
})
