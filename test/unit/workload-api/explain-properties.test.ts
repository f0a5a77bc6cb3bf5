import { status } from '@grpc/grpc-js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { callerOf } from '../../../agent/attestation/caller.js'
import { apiEvents } from '../../../agent/observability/api-events.js'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { type View, Views } from '../../../agent/svids/view.js'
import { type Decision, decide } from '../../../agent/workload-api/decision.js'
import { type Explanation, explain } from '../../../agent/workload-api/explain.js'
import { ResponseStream } from '../../../agent/workload-api/stream.js'
import { Workloads } from '../../../agent/workload-api/workloads.js'
import { FakeAttestor } from '../../fakes/attestor.js'
import { FakeCall } from '../../fakes/call.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { entryOf, issuedOf, snapshotOf } from '../../fakes/identities.js'
import { FakeKernel } from '../../fakes/kernel.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { workloadContext } from '../../fakes/workload.js'

const HOLD = 4_000
const PLATFORMS = ['unix', 'docker', 'k8s', 'systemd']
const KEYS = ['unix:a', 'unix:b', 'docker:a', 'docker:b', 'k8s:a', 'systemd:a']

const value = fc.constantFrom('1', '1', '1', '2')
const selectors = fc.dictionary(fc.constantFrom(...KEYS), value, { maxKeys: 2 })
const rarely = fc.constantFrom(true, false, false, false)
const failures = fc.record({
  count: fc.integer({ min: 1, max: 4 }),
  retryAt: fc.integer({ min: 0, max: 2 * HOLD }),
  code: fc.constant('icp.timeout' as const),
})
/** Times from the start of the call on. */
const state = fc.oneof(
  fc.constant(null),
  fc.record({ kind: fc.constant('wanted' as const), failures }),
  fc.constant({ kind: 'wanted' as const, expired: true }),
  fc.constant({ kind: 'shadowed' as const, by: 'z' }),
  failures.map((all) => ({ kind: 'refused' as const, code: 'icp.no_match' as const, until: 0, failures: all })),
  fc.constantFrom(-10, 1, HOLD / 2, HOLD, 9 * HOLD, 9 * HOLD).map((left) => ({ kind: 'issued' as const, left })),
)
const worlds = fc.record({
  entries: fc.array(fc.record({ selectors, state, createdAt: fc.nat(3) }), { maxLength: 6 }),
  platforms: fc.array(
    fc.record({ a: value, b: value, unavailable: rarely, fails: rarely, waitMs: fc.constantFrom(0, 6_000) }),
    { minLength: PLATFORMS.length, maxLength: PLATFORMS.length },
  ),
  synced: rarely.map((not) => !not),
  withheld: fc.constantFrom(null, 'the agent has no SVID'),
  maxIdentities: fc.integer({ min: 1, max: 5 }),
  held: rarely,
  /** What happens to the process before it is looked at. */
  turned: fc.constantFrom('nothing', 'nothing', 'nothing', 'exec', 'setuid'),
})
type World = typeof worlds extends fc.Arbitrary<infer T> ? T : never

/** The first SVID is there, and the second one is awaited: rare by chance. */
const PARTIAL: World = {
  entries: [
    { selectors: { 'unix:a': '1' }, state: { kind: 'issued', left: 9 * HOLD }, createdAt: 0 },
    { selectors: { 'unix:a': '1' }, state: null, createdAt: 1 },
  ],
  platforms: PLATFORMS.map(() => ({ a: '1', b: '1', unavailable: false, fails: false, waitMs: 0 })),
  synced: true,
  withheld: null,
  maxIdentities: 5,
  held: false,
  turned: 'nothing',
}

class Platform extends FakeAttestor {
  waitMs = 0

  override async attest(...args: Parameters<FakeAttestor['attest']>) {
    return { ...(await super.attest(...args)), waitMs: this.waitMs }
  }
}

function stateOf(id: string, given: World['entries'][number]['state'], start: number): EntryState | null {
  switch (given?.kind) {
    case undefined:
      return null
    case 'issued':
      return issuedOf(id, { notBefore: start - 10_000, notAfter: start + given.left, serial: id })
    case 'refused':
      return { ...given, message: 'refused', until: start + given.until, failures: given.failures }
    default:
      return given
  }
}

function build(given: World) {
  const clock = new FakeClock()
  const kernel = new FakeKernel()
  const events = apiEvents(new RecordedSinks(), clock)
  const attestors = given.platforms.map(({ a, b, unavailable, fails, waitMs }, i) => {
    const name = PLATFORMS[i] ?? ''
    const attestor = new Platform(name)
    attestor.selectors = unavailable ? {} : { [`${name}:a`]: a, [`${name}:b`]: b }
    attestor.unavailable = unavailable ? [name] : []
    attestor.fails = fails ? new Error('a platform that fails') : null
    attestor.waitMs = unavailable ? waitMs : 0
    return attestor
  })
  const context = workloadContext({
    clock,
    kernel,
    attestors,
    apiEvents: events,
    maxIdentities: given.maxIdentities,
    heldGrants: () => (given.held ? { code: 'audit.unavailable', message: 'the audit log is full' } : null),
  })
  const { store, demand } = context
  const entries = given.entries.map(({ selectors: wanted, createdAt }, i) =>
    entryOf(`e${i}`, { selectors: wanted, createdAt }),
  )
  const states = given.entries.flatMap((entry, i) => {
    const made = stateOf(`e${i}`, entry.state, clock.now())
    return made ? [[`e${i}`, made] as const] : []
  })
  const { synced, withheld } = given
  store.publish(snapshotOf(entries, Object.fromEntries(states), { synced, withheld }), {
    entries: 'all',
    bundles: true,
  })
  const process = kernel.spawn()
  const turn = () => {
    if (given.turned === 'exec') process.exec('/usr/bin/other')
    if (given.turned === 'setuid') process.execSetuid('/usr/bin/sudo', 0)
  }
  return { clock, kernel, events, context, store, demand, process, turn }
}

/** What a call is told at once, and when it has been held as long as calls are. */
async function answered(world: ReturnType<typeof build>, holdFor: number) {
  const { clock, kernel, events, context, store, process, turn } = world
  using workloads = new Workloads(context)
  const workload = workloads.acquire(callerOf(kernel.peer(process)))
  turn()
  workload.reattest()
  await settle()
  const views = new Views()
  const decisions: Decision[] = []
  const call = new FakeCall()
  const stream = new ResponseStream(call, {
    workload,
    kind: {
      method: 'FetchX509SVID',
      dialect: 'spiffe',
      decide: (input) => {
        const decision = decide(input)
        decisions.push(decision)
        return decision
      },
      content: (snapshot, ids) => views.of(snapshot, ids),
      encode: (content) => Buffer.from((content as View).svids.map(({ svid }) => svid.serial).join()),
    },
    snapshot: () => store.current,
    stopping: () => false,
    clock,
    events,
    times: { holdMs: HOLD, stalledMs: 30_000 },
    onStalled: () => undefined,
    onEnd: () => undefined,
  })
  stream.start()
  const [first] = decisions
  // Of a call that is served nothing more is asked.
  if (first?.kind === 'hold') await clock.advance(holdFor)
  const told = { first, written: [...call.written], ended: call.ended.map(({ code, details }) => ({ code, details })) }
  call.cancel()
  workload.release()
  return told
}

async function explained(world: ReturnType<typeof build>): Promise<Explanation> {
  const { context, kernel, process, turn } = world
  const caller = callerOf(kernel.peer(process))
  try {
    turn()
    const more = { holdMs: HOLD, knownOf: () => new Map(), turn: async () => undefined }
    return await explain({ ...context, ...more }, caller, new AbortController().signal)
  } finally {
    caller.process[Symbol.dispose]()
  }
}

describe('for equal attestation, snapshot, time and wait', () => {
  it('the explanation is what a call gets at once, and what it gets when the hold is over', async () => {
    const kinds = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(worlds, async (given) => {
        const { decision, afterHold, match, matches } = await explained(build(given))
        const world = build(given)
        const real = await answered(world, Math.max(HOLD, ...given.platforms.map(({ waitMs }) => waitMs)))
        expect(real.first).toEqual(decision)
        expect(matches.slice(0, given.maxIdentities).map(({ id }) => id)).toEqual(match.ids)
        const last = decision.kind === 'hold' ? afterHold : decision
        kinds.set(`${decision.kind} ${last.kind}`, (kinds.get(`${decision.kind} ${last.kind}`) ?? 0) + 1)
        if (last.kind === 'send') expect(real.written).toEqual([last.ids.join()])
        else if (last.kind === 'refuse')
          expect(real.ended.map(({ details }) => details.startsWith(last.message))).toEqual([true])
        else expect.fail('nothing is held for ever')
        expect(real.ended.every(({ code }) => code !== status.UNKNOWN)).toBe(true)
      }),
      { numRuns: 1_000, examples: [[PARTIAL]] },
    )
    // Every way in which a call ends was met.
    expect([...kinds.keys()].sort()).toEqual(['hold refuse', 'hold send', 'refuse refuse', 'send send'])
  })

  it('an explanation leaves no demand, no hold on a process and no timer', async () => {
    await fc.assert(
      fc.asyncProperty(worlds, async (given) => {
        const world = build(given)
        const before = world.store.current
        await explained(world)
        expect([...world.demand.ids()]).toEqual([])
        expect([world.kernel.open.size, world.process.programs, world.clock.pending]).toEqual([0, 0, 0])
        expect(world.store.current).toBe(before)
      }),
      { numRuns: 100 },
    )
  })
})
