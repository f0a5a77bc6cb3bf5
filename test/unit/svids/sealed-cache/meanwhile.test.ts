import { beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../../agent/errors.js'
import { parseAuthority } from '../../../../agent/identity/authority.js'
import { TestCa } from '../../../fakes/ca.js'
import { type DiskOperation, MemoryFiles } from '../../../fakes/memory-files.js'
import { CacheLife, CacheWorld, PATH } from './cache-world.js'

const HOUR = 3_600_000
let files: MemoryFiles
let world: CacheWorld
let rotated: TestCa

beforeEach(async () => {
  files = new MemoryFiles()
  world = await CacheWorld.create(files)
  const now = world.clock.now()
  rotated = await TestCa.create('Rotated', { notBefore: now - HOUR, notAfter: now + 1000 * HOUR })
})

/** Does something once, just after the manifest has been written or just before. */
function once(at: DiskOperation['when'], work: () => void): void {
  files.hook = ({ call, when, path }) => {
    if (call !== 'write' || when !== at || path !== PATH) return
    files.hook = () => undefined
    work()
  }
}

/** What a life would find that begins now. */
const found = async () => await new CacheLife(world).cache.restore()

async function running(life: CacheLife): Promise<AsyncDisposable> {
  const stop = new AbortController()
  const end = life.cache.run(stop.signal)
  await world.clock.advance('2s')
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error('stop'))
      await end
    },
  }
}

describe('while the manifest is written', () => {
  test('another authority comes: the next manifest has it', async () => {
    const life = new CacheLife(world)
    life.publish({ web: await world.issued('web') })
    await using _running = await running(life)
    once('after', () => {
      world.history = world.history.named([parseAuthority(rotated.der)], world.clock.now())
      life.store.publish({}, { entries: new Set(), bundles: true })
    })
    life.store.publish({}, { entries: new Set(), bundles: true })
    await world.clock.advance('1s')
    expect((await found())?.history.records).toHaveLength(1)
    await world.clock.advance('1s')
    expect((await found())?.history.records).toHaveLength(2)
  })

  test('an SVID of another authority comes: it is written after a manifest that knows the authority', async () => {
    const life = new CacheLife(world)
    const before = { web: await world.issued('web'), db: await world.issued('db') }
    const history = world.history
    const renewed = { kind: 'issued', held: await world.held('db', HOUR, rotated) } as const
    const later = world.history
    world.history = history
    await using _running = await running(life)
    once('after', () => {
      world.history = later
      const states = new Map(life.store.current.states).set('db', renewed)
      life.store.publish({ states }, { entries: new Set(['db']), bundles: true })
    })
    life.publish(before)
    await world.clock.advance('1s')
    const written = () => [...files.content.keys()].filter((name) => name.includes('.svids/')).length
    expect(written()).toBe(1)
    await world.clock.advance('1s')
    expect(written()).toBe(2)
    const state = (await found())?.snapshot.states.get('db')
    expect(state?.kind === 'issued' && state.held.svid.serial).toBe(renewed.held.svid.serial)
  })

  test('the disk fails: the manifest is written again, though nothing changes any more', async () => {
    const life = new CacheLife(world)
    life.publish({ web: await world.issued('web') })
    await using _running = await running(life)
    once('before', () => {
      throw new AgentError('file.io', 'no space left')
    })
    world.history = world.history.named([parseAuthority(rotated.der)], world.clock.now())
    life.store.publish({}, { entries: new Set(), bundles: true })
    await world.clock.advance('1s')
    expect((await found())?.history.records).toHaveLength(1)
    await world.clock.advance('20s')
    expect((await found())?.history.records).toHaveLength(2)
  })
})
