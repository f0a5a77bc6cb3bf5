import { describe, expect, it } from 'vitest'
import { type Decision, decide } from '../../../agent/workload-api/decision.js'
import { MINUTE, SyncWorld } from './sync-world.js'

const EQUAL = { 'unix:uid': '1000' }
const PATH = { 'unix:path': '/bin/other' }

/** Entries with equal selectors, each a minute younger than the one before. */
async function worldWith(...ids: string[]) {
  const world = await SyncWorld.create()
  for (const id of ids) await added(world, id)
  return world
}

async function added(world: SyncWorld, id: string, ageMs = MINUTE, selectors: Record<string, string> = EQUAL) {
  await world.clock.advance(ageMs)
  world.server.addEntry({ id, path: `/${id}`, selectors })
  await world.synced()
}

/** What a stream of a process that matches all of them is told. */
function told(world: SyncWorld, served: readonly string[] | null = null): Decision {
  const { current } = world.store
  const match = current.index.match(new Map([...Object.entries(EQUAL)]), [], 9)
  const now = world.clock.now()
  const rest = { refusal: null, attesting: false, heldForMs: 0, holdMs: 4_000, waitMs: 0, stopping: false }
  return decide({ ...rest, match, snapshot: current, now, served })
}

describe('of two entries with equal selectors', () => {
  it('the older one is served until its SVID ends, and then the younger one in the same moment', async () => {
    const world = await worldWith('old')
    await world.issue('old')
    await added(world, 'young')
    expect(world.state('old')).toMatchObject({ kind: 'issued', shadow: { by: 'young' } })
    await world.issue('young')
    const { notAfter } = world.svid('old')
    await world.clock.advance(notAfter - 1 - world.clock.now())
    world.sync.tick()
    expect(told(world, ['old'])).toEqual({ kind: 'send', ids: ['old', 'young'] })
    await world.clock.advance(1)
    world.sync.tick()
    expect(world.state('old')).toEqual({ kind: 'shadowed', by: 'young', told: true })
    expect(told(world, ['old', 'young'])).toEqual({ kind: 'send', ids: ['young'] })
    expect(told(world)).toEqual({ kind: 'send', ids: ['young'] })
    expect(world.sinks.events('error')).toEqual([])
  })

  it('the older one is not waited for by who comes first, and is not asked for', async () => {
    const world = await worldWith('old', 'young')
    expect(told(world)).toMatchObject({ kind: 'hold', reason: { code: 'svid.pending' } })
    await world.issue('young')
    expect(told(world)).toEqual({ kind: 'send', ids: ['young'] })
    const line = world.sinks.lines.find(({ event }) => event.startsWith('Registration entry is not issued'))
    expect(line?.fields).toMatchObject({ entry_id: 'old', winner_entry_id: 'young' })
  })

  it('the older one is pending when the younger one goes, and never refused', async () => {
    const world = await worldWith('old', 'young')
    await world.issue('young')
    world.server.addEntry({ id: 'other', path: '/other', selectors: PATH })
    world.server.removeEntry('young')
    await world.synced()
    expect(told(world, ['young'])).toMatchObject({ kind: 'hold', reason: { code: 'svid.pending' } })
    await world.issue('old')
    expect(told(world, ['young'])).toEqual({ kind: 'send', ids: ['old'] })
  })

  it('the older one goes on as before when the younger one goes while its SVID lives', async () => {
    const world = await worldWith('old')
    await world.issue('old')
    await added(world, 'young')
    // Asked before the list was read: the server says whose identity it is.
    await world.issue('old')
    expect(world.state('old')).toMatchObject({ kind: 'issued', shadow: { by: 'young', told: true } })
    world.server.removeEntry('young')
    await world.synced()
    expect(world.state('old')).toEqual({ kind: 'issued', held: expect.anything() })
  })

  it('the one wins that the server issues, whichever was expected', async () => {
    const world = await SyncWorld.create()
    // Of the same moment: the agent expects the second, and this server issues the first.
    for (const id of ['a', 'b']) world.server.addEntry({ id, path: `/${id}`, selectors: EQUAL })
    await world.synced()
    expect(world.state('a')).toEqual({ kind: 'shadowed', by: 'b' })
    await world.issue('b')
    expect(world.state('b')).toEqual({ kind: 'shadowed', by: 'a', told: true })
    expect(world.state('a')).toEqual({ kind: 'wanted' })
    await world.issue('a')
    // What it said stands, whatever else changes.
    await added(world, 'other', MINUTE, PATH)
    expect(world.state('a')?.kind).toBe('issued')
    expect(world.state('a')).not.toHaveProperty('shadow')
    expect(world.state('b')).toEqual({ kind: 'shadowed', by: 'a', told: true })
  })

  it('the younger one that has become the winner takes the place of one that had won', async () => {
    const world = await worldWith('old', 'young')
    await world.issue('young')
    await added(world, 'youngest')
    expect(world.state('young')).toMatchObject({ kind: 'issued', shadow: { by: 'youngest' } })
    await world.issue('youngest')
    expect(world.state('old')).toEqual({ kind: 'shadowed', by: 'youngest', told: true })
    expect(world.state('young')).toMatchObject({ kind: 'issued', shadow: { by: 'youngest', told: true } })
  })

  it('both are named to a caller who gets neither', async () => {
    const world = await worldWith('old', 'young')
    const states = new Map(world.store.current.states)
    const failures = { count: 1, retryAt: 0, code: 'icp.forbidden' as const }
    states.set('young', { kind: 'refused', code: 'icp.forbidden', message: 'secret', until: 0, failures })
    world.store.publish({ states }, { entries: new Set(['young']), bundles: false })
    const found = told(world)
    expect(found).toMatchObject({ kind: 'refuse', code: 'icp.forbidden' })
    expect(found).toMatchObject({ message: expect.stringContaining('entry young wins over entry old') })
  })

  it('a sick server that lists neither is not asked about the one that it never issues', async () => {
    const world = await worldWith('old')
    await world.issue('old')
    await added(world, 'young')
    await world.issue('young')
    const { entries } = world.server
    world.server.entries = async () => ({ unchanged: false, entries: [], rejected: [] })
    for (let i = 0; i < 3; i++) await world.synced()
    expect([...world.store.current.entries.keys()]).toEqual(['old', 'young'])
    world.server.entries = entries
  })
})
