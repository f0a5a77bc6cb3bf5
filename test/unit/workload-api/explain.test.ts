import { describe, expect, it } from 'vitest'
import type { Known } from '../../../agent/attestation/attest.js'
import { callerOf } from '../../../agent/attestation/caller.js'
import { explain } from '../../../agent/workload-api/explain.js'
import { FakeAttestor } from '../../fakes/attestor.js'
import { entryOf, issuedOf, snapshotOf } from '../../fakes/identities.js'
import { FakeKernel } from '../../fakes/kernel.js'
import { workloadContext } from '../../fakes/workload.js'

const HOLD = 4_000
const MINE = { 'unix:uid': '1000' }

function setting(...entries: ReturnType<typeof entryOf>[]) {
  const kernel = new FakeKernel()
  const unix = new FakeAttestor('unix')
  unix.selectors = { ...MINE }
  const attestors = [unix]
  const turns = { given: 0 }
  const context = workloadContext({ kernel, attestors })
  const { store, demand, clock } = context
  store.publish(snapshotOf(entries), { entries: 'all', bundles: true })
  const process = kernel.spawn()
  const caller = callerOf(kernel.peer(process))
  const stop = new AbortController()
  const issue = (id: string) =>
    store.publish(
      { states: new Map([[id, issuedOf(id, { notBefore: clock.now(), notAfter: clock.now() + 3_600_000 })]]) },
      { entries: new Set([id]), bundles: false },
    )
  return {
    kernel,
    unix,
    attestors,
    turns,
    store,
    demand,
    process,
    caller,
    stop,
    issue,
    run: (knownOf: () => Known = () => new Map()) =>
      explain({ ...context, holdMs: HOLD, knownOf, turn: async () => void turns.given++ }, caller, stop.signal),
  }
}

describe('an explanation', () => {
  it('is what a caller would be sent', async () => {
    const world = setting(entryOf('a', { selectors: MINE }))
    world.issue('a')
    const { state, found, match, decision, nearest } = await world.run()
    expect(state).toMatchObject({ kind: 'attested', notes: [{ attestor: 'unix', text: 'call 1' }] })
    expect(found).toEqual(new Map([['unix', new Map(Object.entries(MINE))]]))
    expect([match.ids, decision, nearest]).toEqual([['a'], { kind: 'send', ids: ['a'] }, []])
  })

  it('is what a caller waits for and is told after the hold where its SVID is not issued, and wants nothing', async () => {
    const world = setting(entryOf('a', { selectors: MINE }))
    const { match, decision, afterHold } = await world.run()
    expect(match.ids).toEqual(['a'])
    expect(decision).toMatchObject({ kind: 'hold', forMs: HOLD, reason: { code: 'svid.pending' } })
    expect(afterHold).toMatchObject({ kind: 'refuse', code: 'svid.pending' })
    expect([...world.demand.ids()]).toEqual([])
  })

  it('names the entries that came nearest where none matches', async () => {
    const world = setting(entryOf('b', { selectors: { ...MINE, 'docker:label:app': 'web' } }))
    const { decision, nearest } = await world.run()
    expect(decision).toMatchObject({ kind: 'refuse', code: 'entry.none' })
    expect(nearest).toMatchObject([{ id: 'b', lacks: [{ key: 'docker:label:app', wanted: 'web', found: null }] }])
  })

  it('says why a process gets nothing that has ended, and leaves the handle to whoever asked', async () => {
    const world = setting(entryOf('a', { selectors: MINE }))
    world.unix.meanwhile = () => world.process.exit()
    const { state, found, decision } = await world.run()
    expect([state.kind, found.size]).toEqual(['failed', 0])
    expect(decision).toMatchObject({ kind: 'refuse', code: 'caller.exited' })
    expect(world.kernel.open.size).toBe(1)
  })

  it('ends with whoever asked', async () => {
    const world = setting(entryOf('a', { selectors: MINE }))
    world.unix.holds = true
    const explained = world.run()
    world.stop.abort()
    expect((await explained).state).toMatchObject({ kind: 'attested', unavailable: ['unix'] })
  })

  it('keeps what was known of a platform that is unavailable now, as a connected process has it', async () => {
    const world = setting(entryOf('a', { selectors: { ...MINE, 'docker:name': 'web' } }))
    const docker = new FakeAttestor('docker')
    docker.unavailable = ['docker']
    world.attestors.push(docker)
    world.issue('a')
    const known = new Map([['docker', new Map([['docker:name', 'web']])]])
    expect((await world.run()).decision).toMatchObject({
      kind: 'hold',
      reason: { code: 'attestation.platform_missing' },
    })
    expect((await world.run(() => known)).decision).toEqual({ kind: 'send', ids: ['a'] })
  })

  it('lists all entries that match, and decides by those that a workload may hold', async () => {
    const all = Array.from({ length: 70 }, (_, i) => entryOf(`e${i}`, { selectors: MINE, createdAt: i }))
    const { match, matches } = await setting(...all).run()
    expect([match.ids.length, match.truncated, matches.length]).toEqual([64, true, 70])
  })

  it('finds the five nearest of 10,000 entries, and gives other work a turn in between', async () => {
    const far = Array.from({ length: 9_995 }, (_, i) =>
      entryOf(`far${i}`, { selectors: { 'unix:uid': '0', 'unix:gid': `${i}` }, createdAt: i }),
    )
    const close = Array.from({ length: 5 }, (_, i) => entryOf(`near${i}`, { selectors: { 'unix:uid': `${i}` } }))
    const world = setting(...far.slice(0, 5_000), ...close, ...far.slice(5_000))
    const { nearest } = await world.run()
    expect(nearest.map(({ id }) => id)).toEqual(close.map(({ id }) => id))
    expect(world.turns.given).toBe(10)
  })
})
