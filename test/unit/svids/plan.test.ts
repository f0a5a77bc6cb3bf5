import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Entry } from '../../../agent/identity/entry.js'
import { Demand } from '../../../agent/svids/demand.js'
import type { EntryState, Failures } from '../../../agent/svids/entry-state.js'
import { nextJob, type PlanInput } from '../../../agent/svids/plan.js'
import { FakeClock } from '../../fakes/clock.js'
import { entriesOf, entryOf, issuedOf } from '../../fakes/identities.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** A moment, entries with their states, and who uses them. */
class Scene {
  readonly clock = new FakeClock()
  readonly demand = new Demand(this.clock)
  readonly states = new Map<string, EntryState>()
  readonly entries = new Map<string, Entry>()

  get now(): number {
    return this.clock.now()
  }

  /** An entry in use by a uid; null: used once, just now. */
  entry(id: string, state?: EntryState, uid: number | null = 1000): this {
    this.entries.set(id, entryOf(id))
    if (state) this.states.set(id, state)
    const use = this.demand.use(uid ?? 1000)
    use.entries([id])
    if (uid === null) use[Symbol.dispose]()
    return this
  }

  /** An SVID of an hour with so many minutes left, due for renewal at the half. */
  left(minutes: number, more: { next?: number; failures?: Failures; renewAt?: number } = {}): EntryState {
    const notAfter = this.now + minutes * MINUTE
    const wish = { notBefore: notAfter - HOUR, notAfter }
    const state = issuedOf('a', more.renewAt === undefined ? wish : { ...wish, renewAt: more.renewAt })
    const next = more.next === undefined ? {} : { next: { held: held(this.now, more.next), from: this.now + MINUTE } }
    return { ...state, ...next, ...(more.failures ? { failures: more.failures } : {}) }
  }

  plan(more: Partial<PlanInput> = {}) {
    return nextJob({
      now: this.now,
      snapshot: { synced: true, entries: this.entries, states: this.states },
      demand: this.demand,
      inFlight: new Set(),
      syncDueIn: HOUR,
      pressure: 0,
      sinceRenewal: Number.POSITIVE_INFINITY,
      revocations: [],
      ...more,
    })
  }

  /** What it would do, again and again, if each job took no time. */
  order(more: Partial<PlanInput> = {}): string[] {
    const done: string[] = []
    const inFlight = new Set<string>()
    let [syncDueIn, revocations] = [more.syncDueIn ?? HOUR, more.revocations ?? []]
    for (;;) {
      const next = this.plan({ ...more, inFlight, syncDueIn, revocations })
      if (!('job' in next)) return done
      done.push(next.job.kind === 'issue' ? next.job.entryId : next.job.kind)
      if (next.job.kind === 'sync-entries') syncDueIn = HOUR
      else if (next.job.kind === 'revoke') revocations = revocations.slice(1)
      else {
        inFlight.add(next.job.entryId)
        if (next.job.uid !== undefined) this.demand.tookTurn(next.job.uid)
      }
    }
  }
}

function held(now: number, minutesLeft: number) {
  const notAfter = now + minutesLeft * MINUTE
  return issuedOf('next', { notBefore: notAfter - HOUR, notAfter }).held
}

function failing(count: number, retryAt = 0): { failures: Failures } {
  return { failures: { count, retryAt, code: 'icp.server_error' } }
}

describe('what is worth the next request', () => {
  it('is chosen by urgency: a late sync, what ends soon, who waits, renewals, sync, what fails, the recent, revocations', () => {
    const scene = new Scene()
    scene
      .entry('recent', undefined, null)
      .entry('failing', { kind: 'wanted', ...failing(3) })
      .entry('failing-renewal', scene.left(2, failing(3)))
      .entry('renewal', scene.left(25))
      .entry('waits', { kind: 'wanted', ...failing(2) })
      .entry('ends-soon', scene.left(14))
    expect(scene.order({ syncDueIn: 0, revocations: ['01', '02'] })).toEqual([
      'ends-soon',
      'waits',
      'renewal',
      'sync-entries',
      'failing-renewal',
      'failing',
      'recent',
      'revoke',
      'revoke',
    ])
    expect(scene.order({ syncDueIn: -MINUTE - 1 })[0]).toBe('sync-entries')
    expect(scene.order({ syncDueIn: -MINUTE })[0]).toBe('ends-soon')
  })

  it('is the entries while nothing is known', () => {
    const scene = new Scene().entry('a')
    const snapshot = { synced: false, entries: scene.entries, states: scene.states }
    expect(scene.plan({ snapshot, syncDueIn: 0 })).toEqual({ job: { kind: 'sync-entries' } })
  })

  it('does not let hundreds of SVIDs that end soon keep entry sync waiting for ever', () => {
    const scene = new Scene()
    for (let i = 0; i < 300; i++) scene.entry(`e${i}`, scene.left(5))
    expect(scene.plan({ syncDueIn: -61_000 })).toEqual({ job: { kind: 'sync-entries' } })
  })

  it('does not let renewals that fail again and again keep a new caller waiting', () => {
    const scene = new Scene()
    for (let i = 0; i < 50; i++) scene.entry(`e${i}`, scene.left(1, failing(3)))
    expect(scene.entry('new').order()[0]).toBe('new')
  })

  it('says how long nothing is worth it', async () => {
    const scene = new Scene()
    scene.entry('a', scene.left(40)).entry('b', { kind: 'wanted', ...failing(1, scene.now + 7_000) })
    expect(scene.plan()).toEqual({ waitMs: 7_000 })
    expect(scene.plan({ syncDueIn: 3_000 })).toEqual({ waitMs: 3_000 })
    expect(new Scene().plan({ syncDueIn: Number.POSITIVE_INFINITY })).toEqual({ waitMs: Number.POSITIVE_INFINITY })
    expect(new Scene().entry('a', scene.left(40)).plan()).toEqual({ waitMs: 10 * MINUTE })
  })
})

describe('a first SVID', () => {
  it('goes to the uids in turn, however many entries one of them wants', () => {
    const scene = new Scene()
    for (const id of ['g1', 'g2', 'g3', 'g4']) scene.entry(id, undefined, 1)
    scene.entry('modest', undefined, 2).entry('shy', undefined, 3)
    expect(scene.order()).toEqual(['g1', 'modest', 'shy', 'g2', 'g3', 'g4'])
  })

  it('names the uid whose turn it is, of all who wait for the entry', () => {
    const scene = new Scene().entry('a', undefined, 1).entry('a', undefined, 2)
    scene.demand.tookTurn(1)
    expect(scene.plan()).toEqual({ job: { kind: 'issue', entryId: 'a', renewal: false, uid: 2 } })
  })

  it.each<[string, EntryState | undefined]>([
    ['idle', undefined],
    ['wanted', { kind: 'wanted', ...failing(1, 0) }],
    ['refused', { kind: 'refused', code: 'icp.no_match', message: '', until: 0, ...failing(1) }],
  ])(
    'of an entry that is %s is asked for two minutes longer than anybody waited, on behalf of nobody',
    async (_, state) => {
      const scene = new Scene().entry('a', state, null)
      await scene.clock.advance('2m')
      expect(scene.plan()).toEqual({ job: { kind: 'issue', entryId: 'a', renewal: false } })
      await scene.clock.advance(1)
      expect(scene.plan()).toEqual({ waitMs: HOUR })
    },
  )

  it.each<[string, EntryState]>([
    ['wanted', { kind: 'wanted', ...failing(2, Date.parse('2026-01-01T00:00:10Z')) }],
    [
      'refused',
      {
        kind: 'refused',
        code: 'icp.no_match',
        message: '',
        until: Date.parse('2026-01-01T00:00:10Z'),
        ...failing(1),
      },
    ],
  ])('of a %s entry is not asked for before its time', async (_kind, state) => {
    const scene = new Scene().entry('a', state)
    expect(scene.plan()).toEqual({ waitMs: 10_000 })
    await scene.clock.advance('10s')
    expect(scene.order()).toEqual(['a'])
  })

  it('is never asked for where another entry always wins, or that nobody wants, or that is no entry', () => {
    const scene = new Scene().entry('a', { kind: 'shadowed', by: 'b' }).entry('gone')
    scene.entries.delete('gone')
    scene.entries.set('unwanted', entryOf('unwanted'))
    expect(scene.order()).toEqual([])
  })

  it('is asked for once at a time', () => {
    expect(new Scene().entry('a').plan({ inFlight: new Set(['a']) })).toEqual({ waitMs: HOUR })
  })
})

describe('a renewal', () => {
  it('is not asked for where the server issues another entry instead', () => {
    const scene = new Scene()
    expect(scene.entry('a', { ...scene.left(10), shadow: { by: 'b' } } as EntryState).plan()).toEqual({ waitMs: HOUR })
  })

  it('is for the SVID that ends first', () => {
    const scene = new Scene()
    scene.entry('b', scene.left(29)).entry('a', scene.left(16)).entry('c', scene.left(20))
    expect(scene.order()).toEqual(['a', 'c', 'b'])
    expect(scene.plan()).toEqual({ job: { kind: 'issue', entryId: 'a', renewal: true } })
  })

  it('waits for its back-off', async () => {
    const scene = new Scene()
    scene.entry('a', scene.left(20, failing(1, scene.now + 5_000)))
    expect(scene.plan()).toEqual({ waitMs: 5_000 })
    await scene.clock.advance('5s')
    expect(scene.order()).toEqual(['a'])
  })

  it('goes by the SVID that is held back, where there is one', () => {
    const scene = new Scene()
    expect(scene.entry('a', scene.left(10, { next: 55 })).plan()).toEqual({ waitMs: 25 * MINUTE })
    expect(new Scene().entry('a', scene.left(10, { next: 20 })).order()).toEqual(['a'])
  })

  it('is not worth it for what nobody has used for an hour and a life', async () => {
    const scene = new Scene()
    scene.entry('a', scene.left(59), null)
    await scene.clock.advance('1h')
    scene.states.set('a', scene.left(20))
    expect(scene.order()).toEqual(['a'])
    await scene.clock.advance(1)
    expect(scene.order()).toEqual([])
    const day = { notBefore: scene.now - 20 * HOUR, notAfter: scene.now + 4 * HOUR }
    scene.states.set('a', issuedOf('a', day))
    await scene.clock.advance('3h')
    expect(scene.order()).toEqual(['a'])
  })

  it('is worth it for as long as a call is open', async () => {
    const scene = new Scene().entry('a')
    await scene.clock.advance('30d')
    scene.states.set('a', scene.left(20))
    expect(scene.order()).toEqual(['a'])
  })
})

describe('where neighbours press', () => {
  const crowd = (scene: Scene, minutesLeft: number) => {
    for (let i = 0; i < 60; i++) scene.entry(`e${i}`, scene.left(minutesLeft + i / 60))
    return scene
  }

  it('renewals are spread over the lives', () => {
    const scene = crowd(new Scene(), 20)
    // 60 SVIDs of an hour: at least 0.4 + 0.45 / 2 minutes apart.
    expect(scene.plan({ pressure: 0.5, sinceRenewal: 30_000 })).toEqual({ waitMs: expect.closeTo(7_500, 3) })
    expect(scene.plan({ pressure: 0.5, sinceRenewal: 37_501 })).toHaveProperty('job')
    expect(scene.plan({ pressure: 1, sinceRenewal: 50_000 })).toEqual({ waitMs: expect.closeTo(1_000, 3) })
  })

  it('a little, a renewal is spread until three eighths of its life are left, by the SVID that is held back if there is one', () => {
    const light = { pressure: 0.3, sinceRenewal: 0 }
    const alone = (state: (scene: Scene) => EntryState) => {
      const scene = new Scene()
      return scene.entry('a', state(scene)).plan(light)
    }
    expect(alone((scene) => scene.left(24))).toEqual({ waitMs: expect.closeTo(1.5 * MINUTE, -1) })
    expect(alone((scene) => scene.left(22.5))).toHaveProperty('job')
    const ofTwoHours = (scene: Scene): EntryState => {
      const { held } = issuedOf('a', { notBefore: scene.now - 72 * MINUTE, notAfter: scene.now + 48 * MINUTE })
      return { ...issuedOf('a'), next: { held, from: scene.now + MINUTE } }
    }
    expect(alone(ofTwoHours)).toEqual({ waitMs: expect.closeTo(3 * MINUTE, -1) })
    expect(new Scene().entry('a', new Scene().left(24)).plan({ ...light, pressure: 0.4 })).not.toHaveProperty('job')
    expect(new Scene().entry('a', new Scene().left(22)).plan({ ...light, pressure: 0.4 })).not.toHaveProperty('job')
  })

  it('nothing else waits: not what ends soon, not callers, not sync', () => {
    const busy = { pressure: 1, sinceRenewal: 0 }
    expect(crowd(new Scene(), 5).plan(busy)).toHaveProperty('job')
    expect(crowd(new Scene(), 20).entry('new').order(busy)).toEqual(['new'])
    expect(crowd(new Scene(), 20).order({ ...busy, syncDueIn: 0 })).toEqual(['sync-entries'])
    expect(crowd(new Scene(), 20).order({ ...busy, revocations: ['01'] })).toEqual(['revoke'])
  })

  it('what fails does not take the slots that renewals leave', () => {
    const scene = crowd(new Scene(), 20)
    scene.entry('failing', scene.left(20, failing(1, scene.now + MINUTE)))
    expect(scene.order({ pressure: 1, sinceRenewal: 0 })).toEqual([])
  })

  it('a lone agent renews as fast as its rate limiter allows', () => {
    expect(crowd(new Scene(), 20).plan({ pressure: 0, sinceRenewal: 0 })).toHaveProperty('job')
    expect(crowd(new Scene(), 20).plan({ pressure: 0.04, sinceRenewal: 0 })).toHaveProperty('job')
  })
})

describe('whatever the state of things', () => {
  const NOW = Date.parse('2026-01-01T00:00:00Z')
  const moment = fc.integer({ min: -2 * HOUR, max: 2 * HOUR }).map((ms) => NOW + ms)
  const failures = fc.record({
    count: fc.integer({ min: 1, max: 5 }),
    retryAt: moment,
    code: fc.constant('icp.server_error' as const),
  })
  const state = fc.oneof(
    fc.constant<EntryState>({ kind: 'wanted' }),
    fc.constant<EntryState>({ kind: 'shadowed', by: 'x' }),
    fc.record({ kind: fc.constant('wanted' as const), failures }),
    fc.record({
      kind: fc.constant('refused' as const),
      code: fc.constant('icp.no_match' as const),
      message: fc.constant(''),
      until: moment,
      failures,
    }),
    fc
      .tuple(moment, fc.integer({ min: 1, max: 3 * HOUR }), fc.double({ min: 0, max: 1, noNaN: true }))
      .map(
        ([notBefore, life, part]): EntryState =>
          issuedOf('a', { notBefore, notAfter: notBefore + life, renewAt: notBefore + part * life }),
      ),
  )
  const world = fc.record({
    states: fc.array(fc.option(state, { nil: undefined }), { maxLength: 12 }),
    used: fc.array(fc.tuple(fc.nat(11), fc.nat(3), fc.boolean()), { maxLength: 12 }),
    syncDueIn: fc.integer({ min: -2 * MINUTE, max: MINUTE }),
    pressure: fc.double({ min: 0, max: 1, noNaN: true }),
    sinceRenewal: fc.integer({ min: 0, max: HOUR }),
    inFlight: fc.array(fc.nat(11)),
  })

  it('a job is for an entry that is wanted, due and not under way, or there is a wait', () => {
    fc.assert(
      fc.property(world, ({ states, used, syncDueIn, pressure, sinceRenewal, inFlight }) => {
        const demand = new Demand({ now: () => NOW })
        for (const [n, uid, open] of used) {
          const use = demand.use(uid)
          use.entries([`e${n}`])
          if (!open) use[Symbol.dispose]()
        }
        const entries = entriesOf(...states.map((_, n) => entryOf(`e${n}`)))
        const byId = new Map<string, EntryState>(states.flatMap((one, n) => (one ? [[`e${n}`, one] as const] : [])))
        const underWay = new Set(inFlight.map((n) => `e${n}`))
        const next = nextJob({
          now: NOW,
          snapshot: { synced: true, entries, states: byId },
          demand,
          inFlight: underWay,
          syncDueIn,
          pressure,
          sinceRenewal,
          revocations: [],
        })
        if ('waitMs' in next) {
          expect(next.waitMs).toBeGreaterThan(0)
          expect(syncDueIn).toBeGreaterThan(0)
          return
        }
        if (next.job.kind !== 'issue') return
        const { entryId, renewal } = next.job
        const found = byId.get(entryId)
        expect(entries.has(entryId)).toBe(true)
        expect(underWay.has(entryId)).toBe(false)
        expect(demand.want(entryId)).toBeDefined()
        expect(found?.kind).not.toBe('shadowed')
        expect(renewal).toBe(found?.kind === 'issued')
        if (found?.kind === 'issued') expect(found.held.renewAt).toBeLessThanOrEqual(NOW)
        if (found?.kind === 'refused') expect(found.until).toBeLessThanOrEqual(NOW)
        if (found?.kind === 'wanted') expect(found.failures?.retryAt ?? 0).toBeLessThanOrEqual(NOW)
      }),
      { numRuns: 1000 },
    )
  })
})
