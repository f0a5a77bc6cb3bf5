import { describe, expect, it } from 'vitest'
import { AgentError, type ErrorCode } from '../../../agent/errors.js'
import type { Selectors } from '../../../agent/identity/selector.js'
import { EntryIndex, type Match } from '../../../agent/svids/entry-index.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { bundlesOf, entryOf, snapshotOf } from '../../fakes/identities.js'
import type { ProcessTraits } from '../../fakes/kernel.js'
import { FakeWorkload, workloadContext } from '../../fakes/workload.js'

class CountingIndex extends EntryIndex {
  matches = 0
  override match(selectors: Selectors, unavailable: readonly string[], limit: number): Match {
    this.matches++
    return super.match(selectors, unavailable, limit)
  }
}

const MINE = { 'unix:uid': '1000' }
const a = entryOf('a', { selectors: MINE, createdAt: 1 })
const b = entryOf('b', { selectors: MINE, createdAt: 2 })

function setting({
  selectors = MINE,
  traits = {},
  maxIdentities = 64,
}: {
  readonly selectors?: Readonly<Record<string, string>> | null
  readonly traits?: ProcessTraits
  readonly maxIdentities?: number
} = {}) {
  const truncated: number[] = []
  const lost: string[] = []
  const clock = new FakeClock()
  const context = workloadContext({
    clock,
    maxIdentities,
    apiEvents: {
      workloadEnded: () => undefined,
      truncated: (caller: { pid: number }, _limit: number) => void truncated.push(caller.pid),
      labelOfImage: ({ id }: { id: string }) => void lost.push(id),
    },
  })
  const { store, demand } = context
  const workload = new FakeWorkload(traits, context)
  if (selectors) workload.set(selectors)
  const show = (...entries: (typeof a)[]) => {
    const index = new CountingIndex(entries)
    store.publish(snapshotOf(entries, {}, { index }), { entries: 'all', bundles: false })
    return index
  }
  const heard: string[] = []
  const listen = (name = 'heard', options?: { demand: boolean }) => workload.subscribe(() => heard.push(name), options)
  const wanted = () => [...demand.ids()].filter((id) => (demand.want(id)?.uids.size ?? 0) > 0)
  const denial = (code: ErrorCode) => workload.denial({ code, message: `says ${code}` })
  return { clock, demand, store, denial, show, heard, listen, wanted, workload, truncated, lost }
}

describe('a denial', () => {
  it.each([
    ['entry.none', 1],
    ['svid.pending', 0],
    ['caller.exited', 0],
  ] as const)('for %s says that the caller matches nothing %d times', (code, times) => {
    const unmatched: number[] = []
    const workload = new FakeWorkload({}, workloadContext({ unmatched: ({ pid }) => void unmatched.push(pid) }))
    workload.denial({ code, message: 'no' })
    expect(unmatched).toEqual(Array(times).fill(workload.caller.pid))
  })
})

describe('the match of a workload', () => {
  it('follows the entries while somebody subscribes, and is redone only when they change', async () => {
    const { workload, show, listen, store, heard } = setting()
    const first = show(a)
    using _listening = listen()
    for (let i = 0; i < 3; i++) expect(workload.decisionInput().match.ids).toEqual(['a'])
    store.publish({}, { entries: new Set(['a']), bundles: false })
    store.publish({ bundles: bundlesOf('x') }, { entries: new Set(), bundles: true })
    expect(workload.decisionInput().match.ids).toEqual(['a'])
    expect(first.matches).toBe(1)
    expect(heard).toHaveLength(2)
    show(a, b)
    expect(workload.decisionInput().match.ids).toEqual(['a', 'b'])
  })

  it('follows the workload: other selectors, a failure, a recovery', async () => {
    const { workload, show, listen, heard } = setting()
    show(a)
    using _listening = listen()
    workload.attest({ 'unix:uid': '7' })
    await settle()
    expect(workload.decisionInput().match.ids).toEqual([])
    workload.fail('attestation.failed')
    await settle()
    expect(workload.decisionInput()).toMatchObject({ refusal: { code: 'attestation.failed' }, match: { ids: [] } })
    workload.attest(MINE)
    await settle()
    expect(workload.decisionInput()).toMatchObject({ refusal: null, match: { ids: ['a'] } })
    expect(heard).toHaveLength(3)
  })

  it('is as new as the entries where nobody subscribes', () => {
    const { workload, show } = setting()
    show(a)
    expect(workload.decisionInput().match.ids).toEqual(['a'])
    show(b)
    expect(workload.decisionInput().match.ids).toEqual(['b'])
  })

  it('is as new as the entries after everybody left and somebody came back', () => {
    const { workload, show, listen } = setting()
    show(a)
    listen()[Symbol.dispose]()
    show(b)
    using _listening = listen()
    expect(workload.decisionInput().match.ids).toEqual(['b'])
  })

  it('wakes nobody for entries that are not matched', () => {
    const { show, listen, store, heard } = setting()
    show(a, entryOf('other', { selectors: { 'unix:uid': '7' } }))
    using _listening = listen()
    store.publish({}, { entries: new Set(['other']), bundles: false })
    expect(heard).toEqual([])
    store.publish({}, { entries: new Set(['a']), bundles: false })
    expect(heard).toEqual(['heard'])
  })

  it('names the entries that a label of the image matched before', () => {
    const labelled = entryOf('labelled', { selectors: { ...MINE, 'docker:label:app': 'payments' } })
    const selectors = { ...MINE, 'docker:image-label:app': 'payments' }
    const { workload, show, listen, lost } = setting({ selectors })
    show(a, labelled)
    using _listening = listen()
    expect(workload.decisionInput().match.ids).toEqual(['a'])
    expect(lost).toEqual(['labelled'])
  })

  it('is compared with that of before once an attestation, and not at each change of the entries', () => {
    const labelled = entryOf('labelled', { selectors: { ...MINE, 'docker:label:app': 'payments' } })
    const labels = { ...MINE, 'docker:image-label:app': 'payments' }
    const { workload, show, listen, lost } = setting({ selectors: labels })
    // The first entries may come after the attestation.
    show()
    using _listening = listen()
    workload.decisionInput()
    for (const matches of [2, 1, 1]) {
      const index = show(a, labelled)
      workload.decisionInput()
      expect(index.matches).toBe(matches)
    }
    expect(lost).toEqual(['labelled'])
    workload.set(labels)
    const index = show(a, labelled)
    workload.decisionInput()
    expect(index.matches).toBe(2)
  })

  it('is cut at the limit, which is said once', () => {
    const { workload, show, listen, truncated } = setting({ maxIdentities: 1 })
    show(a, b)
    using _listening = listen()
    expect(workload.decisionInput().match.ids).toEqual(['a'])
    show(a, b)
    workload.decisionInput()
    expect(truncated).toEqual([workload.caller.pid])
    show(a)
    workload.decisionInput()
    show(a, b)
    workload.decisionInput()
    expect(truncated).toHaveLength(2)
  })
})

describe('the demand of a workload', () => {
  it('is for what is matched, for as long as somebody subscribes who wants SVIDs', () => {
    const { show, listen, wanted, workload } = setting()
    show(a)
    const keys = listen('keys', { demand: false })
    expect(wanted()).toEqual([])
    const [one, two] = [listen(), listen()]
    expect(wanted()).toEqual(['a'])
    show(a, b)
    workload.decisionInput()
    expect(wanted()).toEqual(['a', 'b'])
    one[Symbol.dispose]()
    one[Symbol.dispose]()
    expect(wanted()).toEqual(['a', 'b'])
    two[Symbol.dispose]()
    expect(wanted()).toEqual([])
    keys[Symbol.dispose]()
  })

  it('is in the name of the uid that the kernel gave', () => {
    const { show, listen, demand } = setting({ traits: { uid: 4711 } })
    show(a)
    using _listening = listen()
    expect([...(demand.want('a')?.uids ?? [])]).toEqual([[4711, 1]])
  })

  it('ends with a workload that fails', async () => {
    const { show, listen, wanted, workload } = setting()
    show(a)
    using _listening = listen()
    workload.end()
    await settle()
    workload.decisionInput()
    expect(wanted()).toEqual([])
  })
})

describe('who subscribes to a workload', () => {
  it('is not told after leaving, even where another who is told first sends him away', () => {
    const { workload, show, listen, heard } = setting()
    show(a)
    using _first = workload.subscribe(() => second[Symbol.dispose]())
    const second = listen('second')
    show(b)
    expect(heard).toEqual([])
  })

  it('is told where another throws', () => {
    const { workload, show, listen, heard } = setting()
    show(a)
    using _first = workload.subscribe(() => {
      throw new TypeError('a defect')
    })
    using _second = listen('second')
    expect(() => show(b)).toThrow('a defect')
    expect(heard).toEqual(['second'])
  })

  it('leaves nothing behind', () => {
    const { show, listen, workload, store, wanted, heard } = setting()
    show(a)
    const all = [listen(), listen('two', { demand: false })]
    expect(workload.subscribers).toBe(2)
    for (const one of all) one[Symbol.dispose]()
    expect(workload.subscribers).toBe(0)
    expect(wanted()).toEqual([])
    expect(() => store.publish({}, { entries: 'all', bundles: true })).not.toThrow()
    using _again = listen('again')
    show(b)
    expect(heard).toEqual(['again'])
  })
})

describe('the caller of a workload', () => {
  it('is looked at once for all that is decided in one turn, and anew after any pause', async () => {
    const { workload, show } = setting()
    show(a)
    for (let stream = 0; stream < 2000; stream++) expect(workload.decisionInput().refusal).toBeNull()
    expect(workload.checks).toBe(1)
    workload.wrong = new AgentError('caller.executable_changed', 'it runs another program')
    await null
    expect(workload.decisionInput().refusal?.code).toBe('caller.executable_changed')
    expect(workload.checks).toBe(2)
  })

  it('is looked at anew in a turn that lasts 10 ms', () => {
    const clock = new FakeClock()
    let now = 0
    const slow = Object.assign(Object.create(clock), { monotonic: () => now }) as FakeClock
    const workload = FakeWorkload.attested(MINE, [], workloadContext({ clock: slow }))
    for (now = 0; now < 25; now++) workload.decisionInput()
    expect(workload.checks).toBe(3)
  })

  it('is looked at each time once something is wrong with it', () => {
    const { workload, show } = setting()
    show(a)
    workload.wrong = new AgentError('caller.executable_changed', 'it runs another program')
    for (let stream = 0; stream < 3; stream++) expect(workload.decisionInput().refusal).not.toBeNull()
    expect(workload.checks).toBe(3)
  })

  it('that ended counts as ended in the turn in which it was seen alive', () => {
    const { workload, show } = setting()
    show(a)
    expect(workload.decisionInput().refusal).toBeNull()
    workload.end()
    expect(workload.decisionInput().refusal?.code).toBe('caller.exited')
  })

  it('is not yet attested', () => {
    const { workload, show } = setting({ selectors: null })
    show(a)
    expect(workload.decisionInput()).toMatchObject({ attesting: true, refusal: null, match: { ids: [] } })
  })

  it('gets one id for one and the same denial, and another for another', async () => {
    const { denial, workload, clock } = setting()
    const first = denial('entry.none')
    const since = clock.now()
    await clock.advance('1m')
    expect(first).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{12}$/), first: true })
    expect(denial('entry.none')).toMatchObject({ id: first.id, first: false })
    expect(workload.describe().denial).toEqual({ id: first.id, code: 'entry.none', since })
    const other = denial('entry.shadowed')
    expect(other.first).toBe(true)
    expect(other.id).not.toBe(first.id)
  })

  it('gets a new id once the selectors are others: the log tells of those', async () => {
    const { workload, show, listen, denial } = setting()
    show()
    using _listening = listen()
    workload.decisionInput()
    const first = denial('entry.none')
    workload.attest({ 'unix:uid': '7' })
    await settle()
    workload.decisionInput()
    const second = denial('entry.none')
    expect(second).toMatchObject({ first: true })
    expect(second.id).not.toBe(first.id)
  })

  it('is explained by the entries that came nearest, where none matched and when it is new', () => {
    const { workload, show, denial } = setting()
    show(entryOf('c', { selectors: { 'unix:uid': '1000', 'docker:label:app': 'web' } }))
    workload.decisionInput()
    const first = denial('entry.none')
    expect(first).toMatchObject({ caller: { uid: 1000 } })
    expect(Object.fromEntries(first.selectors)).toEqual(MINE)
    expect(first.nearest?.()).toMatchObject([
      { id: 'c', lacks: [{ key: 'docker:label:app', wanted: 'web', found: null }] },
    ])
    expect(denial('entry.none').nearest).toBeNull()
    expect(denial('entry.shadowed').nearest).toBeNull()
  })
})
