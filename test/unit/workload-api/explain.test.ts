import { describe, expect, it } from 'vitest'
import { callerOf } from '../../../agent/attestation/caller.js'
import { explain } from '../../../agent/workload-api/explain.js'
import { FakeAttestor } from '../../fakes/attestor.js'
import { entryOf, issuedOf, snapshotOf } from '../../fakes/identities.js'
import { FakeKernel } from '../../fakes/kernel.js'
import { workloadContext } from '../../fakes/workload.js'

const MINE = { 'unix:uid': '1000' }

function setting(...entries: ReturnType<typeof entryOf>[]) {
  const kernel = new FakeKernel()
  const unix = new FakeAttestor('unix')
  unix.selectors = { ...MINE }
  const context = workloadContext({ kernel, attestors: [unix] })
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
  return { kernel, unix, store, demand, process, caller, stop, issue, run: () => explain(context, caller, stop.signal) }
}

describe('an explanation', () => {
  it('is what a caller would be sent', async () => {
    const world = setting(entryOf('a', { selectors: MINE }))
    world.issue('a')
    const { attestation, match, decision, nearest } = await world.run()
    expect(Object.fromEntries(attestation?.selectors ?? [])).toEqual(MINE)
    expect(attestation?.notes).toEqual([{ attestor: 'unix', text: 'call 1' }])
    expect([match.ids, decision, nearest]).toEqual([['a'], { kind: 'send', ids: ['a'] }, []])
  })

  it('is what a caller is told after the hold where its SVID is not issued, and wants nothing', async () => {
    const world = setting(entryOf('a', { selectors: MINE }))
    const { match, decision } = await world.run()
    expect(match.ids).toEqual(['a'])
    expect(decision).toMatchObject({ kind: 'refuse', code: 'svid.pending' })
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
    const { attestation, decision } = await world.run()
    expect(attestation).toBeNull()
    expect(decision).toMatchObject({ kind: 'refuse', code: 'caller.exited' })
    expect(world.kernel.open.size).toBe(1)
  })

  it('ends with whoever asked', async () => {
    const world = setting(entryOf('a', { selectors: MINE }))
    world.unix.holds = true
    const explained = world.run()
    world.stop.abort()
    expect((await explained).attestation?.unavailable).toEqual(['unix'])
  })
})
