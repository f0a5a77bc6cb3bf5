import { beforeEach, describe, expect, test } from 'vitest'
import { MemoryFiles } from '../../../fakes/memory-files.js'
import { CacheLife, CacheWorld, entryOf, PATH, secretKey } from './cache-world.js'

let files: MemoryFiles
let world: CacheWorld

beforeEach(async () => {
  files = new MemoryFiles()
  world = await CacheWorld.create(files)
})

const names = () => [...files.content.keys()].filter((name) => name.startsWith(PATH))
const rejections = (life: CacheLife) => life.sinks.events('warn')

/** Puts another content in place of a file. */
function replace(path: string, change: (content: Buffer) => Buffer): void {
  const content = files.content.get(path)
  if (!content) throw new TypeError(`there is no ${path}`)
  files.content.set(path, change(Buffer.from(content)))
}

describe('what a life leaves behind', () => {
  test('is there for the next one: entries, SVIDs with their keys, authorities, last uses, the common name', async () => {
    world.commonName = 'localhost'
    const before = await world.written('web', 'db')
    const restored = await new CacheLife(world).cache.restore()
    expect([...(restored?.snapshot.entries.keys() ?? [])]).toEqual(['web', 'db'])
    expect(restored?.clockBehind).toBe(false)
    expect(restored?.history.records).toHaveLength(1)
    expect(restored?.commonName).toBe('localhost')
    const [was, is] = [before.store.current.states.get('web'), restored?.snapshot.states.get('web')]
    if (was?.kind !== 'issued' || is?.kind !== 'issued') throw new TypeError('not issued')
    expect(is.held.svid.serial).toBe(was.held.svid.serial)
    expect(Buffer.from(is.held.svid.privateKey.reveal())).toEqual(Buffer.from(was.held.svid.privateKey.reveal()))
    expect(is.held.renewAt).toBe(was.held.renewAt)
  })

  test('shows nothing of itself: no file holds a name, a key or a certificate in clear', async () => {
    await world.written('web')
    for (const [path, content] of files.content) {
      expect(path).not.toContain('web')
      expect(content.toString('latin1')).not.toMatch(/spiffe|PRIVATE|selectors/)
    }
  })

  test('is written once for many changes within a second', async () => {
    const life = new CacheLife(world)
    const state = await world.issued('web')
    let writes = 0
    files.hook = ({ call, when }) => void (call === 'write' && when === 'after' && writes++)
    await life.whileRunning(async () => {
      for (let i = 0; i < 20; i++) life.publish({ web: state })
      await world.clock.advance('1s')
      expect(writes).toBe(3)
    })
  })

  test('does not rewrite SVIDs that are the same, whatever else changes', async () => {
    const life = new CacheLife(world)
    const [web, db] = [await world.issued('web'), await world.issued('db')]
    const written: string[] = []
    await life.whileRunning(async () => {
      life.publish({ web })
      await world.clock.advance('2s')
      files.hook = ({ call, path, when }) => void (call === 'write' && when === 'after' && written.push(path))
      life.publish({ web, db })
      await world.clock.advance('2s')
    })
    expect(written.filter((path) => path.includes('.svids/'))).toHaveLength(1)
  })

  test('holds nothing of an entry that was removed', async () => {
    const life = new CacheLife(world)
    const [web, db] = [await world.issued('web'), await world.issued('db')]
    await life.whileRunning(async () => {
      life.publish({ web, db })
      await world.clock.advance('2s')
      life.publish({ web })
    })
    expect(names().filter((name) => name.includes('.svids/'))).toHaveLength(1)
  })

  test('holds nothing that an earlier life forgot to remove', async () => {
    files.content.set(`${PATH}.svids/0123456789abcdef0123456789abcdef.sealed`, Buffer.from('left over'))
    await world.written('web')
    expect(names().filter((name) => name.includes('.svids/'))).toHaveLength(1)
  })

  test('keeps an SVID that is held back, with the moment from which it is shown', async () => {
    const life = new CacheLife(world)
    const [held, successor] = [await world.held('web'), await world.held('web')]
    const from = world.clock.now() + 5_000
    await life.whileRunning(() => life.publish({ web: { kind: 'issued', held, next: { held: successor, from } } }))
    const state = (await new CacheLife(world).cache.restore())?.snapshot.states.get('web')
    if (state?.kind !== 'issued') throw new TypeError('not issued')
    expect(state.next?.from).toBe(from)
    expect(state.next?.held.svid.serial).toBe(successor.svid.serial)
  })
})

describe('an SVID on disk', () => {
  test('that has expired is not restored, and its file goes', async () => {
    await world.written('web')
    await world.clock.advance('2h')
    const life = new CacheLife(world)
    expect((await life.cache.restore())?.snapshot.states.size).toBe(0)
    expect(names().some((name) => name.includes('.svids/'))).toBe(false)
    expect(rejections(life)).toEqual([])
  })

  test('whose time is over gives way to the one that was held back', async () => {
    const life = new CacheLife(world)
    const [held, successor] = [await world.held('web', 60_000), await world.held('web')]
    const next = { held: successor, from: world.clock.now() + 600_000 }
    await life.whileRunning(() => life.publish({ web: { kind: 'issued', held, next } }))
    await world.clock.advance('5m')
    const state = (await new CacheLife(world).cache.restore())?.snapshot.states.get('web')
    expect(state).toMatchObject({ kind: 'issued', held: { svid: { serial: successor.svid.serial } } })
    expect(state).not.toHaveProperty('next')
  })

  test('is not restored for an entry that has another name now', async () => {
    const life = new CacheLife(world)
    const state = await world.issued('web')
    await life.whileRunning(() => {
      life.publish({ web: state })
      const entries = new Map([['web', { ...entryOf('db'), id: 'web' }]])
      life.store.publish({ entries }, { entries: 'all', bundles: false })
    })
    expect((await new CacheLife(world).cache.restore())?.snapshot.states.size).toBe(0)
  })

  test('does not pass for that of another entry', async () => {
    await world.written('web', 'db')
    const [one, other] = names().filter((name) => name.includes('.svids/'))
    const stolen = files.content.get(other ?? '')
    replace(one ?? '', () => stolen ?? Buffer.alloc(0))
    const life = new CacheLife(world)
    expect((await life.cache.restore())?.snapshot.states.size).toBe(1)
    expect(rejections(life)).toEqual(['Sealed cache file cannot be trusted and is set aside'])
  })
})

describe('a cache that cannot be trusted', () => {
  const flipped = (content: Buffer) => {
    content.writeUInt8(content.readUInt8(content.length >> 1) ^ 1, content.length >> 1)
    return content
  }
  test.each([
    ['damaged', flipped],
    ['cut in half', (content: Buffer) => content.subarray(0, content.length >> 1)],
    ['empty', () => Buffer.alloc(0)],
    ['something else', () => Buffer.from('{"version":1,"entries":[]}')],
  ])('because it is %s is set aside whole under a dated name, and that is said once', async (_what, change) => {
    await world.written('web', 'db')
    replace(PATH, change)
    const life = new CacheLife(world)
    expect(await life.cache.restore()).toBeNull()
    expect(rejections(life)).toEqual(['Sealed cache file cannot be trusted and is set aside'])
    expect(names()).toContain(`${PATH}.rejected-2026-01-01T00-00-02-000Z`)
    expect(names()).not.toContain(PATH)
    expect(names()).not.toContain(`${PATH}.entries`)
    const again = new CacheLife(world)
    expect(await again.cache.restore()).toBeNull()
    expect(rejections(again)).toEqual([])
  })

  test.each([
    ['account', { account: '00000000-7425-40de-944b-e07fc1f90ae7' }],
    ['node', { nodeId: 'node-2' }],
    ['key', { keys: { current: secretKey(9), previous: secretKey(8) } }],
  ])('because it is of another %s is not opened', async (_what, change) => {
    await world.written('web')
    const life = new CacheLife(world, change)
    expect(await life.cache.restore()).toBeNull()
    expect(rejections(life)).toHaveLength(1)
  })

  test('in one SVID costs that SVID alone', async () => {
    await world.written('web', 'db')
    replace(names().find((name) => name.includes('.svids/')) ?? '', flipped)
    const restored = await new CacheLife(world).cache.restore()
    expect(restored?.snapshot.entries.size).toBe(2)
    expect(restored?.snapshot.states.size).toBe(1)
  })

  test('in its entries is as good as none, but the manifest stays', async () => {
    await world.written('web')
    replace(`${PATH}.entries`, flipped)
    expect(await new CacheLife(world).cache.restore()).toBeNull()
    expect(names()).toContain(PATH)
  })
})

test('what the previous key sealed is read and sealed anew, so that the key can go', async () => {
  await world.written('web')
  const before = new Map(files.content)
  world.keys = { current: secretKey(2), previous: secretKey(1) }
  const life = new CacheLife(world)
  const restored = await life.cache.restore()
  expect(restored?.snapshot.states.size).toBe(1)
  await life.whileRunning(() => {
    life.store.publish({ synced: true, ...restored?.snapshot }, { entries: 'all', bundles: false })
  })
  for (const name of names()) expect(files.content.get(name)).not.toEqual(before.get(name))
  world.keys = { current: secretKey(2), previous: null }
  const later = new CacheLife(world)
  expect((await later.cache.restore())?.snapshot.states.size).toBe(1)
  expect(rejections(later)).toEqual([])
})
