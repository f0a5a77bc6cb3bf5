import { describe, expect, it } from 'vitest'
import type { Place } from '../../../agent/attestation/place.js'
import { codeOf } from '../../../agent/errors.js'
import { Explainer, type ExplainTarget } from '../../../agent/workload-api/explainer.js'
import { FakeAttestor } from '../../fakes/attestor.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { entryOf, snapshotOf } from '../../fakes/identities.js'
import { FakeKernel } from '../../fakes/kernel.js'
import { workloadContext } from '../../fakes/workload.js'

/** Everything below `/shop/NAME` is container NAME. */
const SHOP: Place = {
  how: 'the shop',
  containerOf: (cgroup) => {
    const name = /^0::\/shop\/(\w+)/.exec(cgroup)?.[1]
    return name === undefined ? null : { id: name, name }
  },
}

function setting() {
  const kernel = new FakeKernel()
  const unix = new FakeAttestor('unix')
  unix.selectors = { 'unix:uid': '1000' }
  const clock = new FakeClock()
  const context = workloadContext({ clock, kernel, attestors: [unix] })
  context.store.publish(snapshotOf([entryOf('a')]), { entries: 'all', bundles: true })
  const explainer = new Explainer({
    ...context,
    kernel,
    holdMs: 4_000,
    knownOf: () => new Map(),
    turn: async () => undefined,
    places: { container: () => SHOP, pod: async () => SHOP },
  })
  const stop = new AbortController()
  const explain = (target: ExplainTarget) => explainer.explain(target, stop.signal)
  const inShop = (container: string, pid?: number) =>
    kernel.spawn({ files: { cgroup: `0::/shop/${container}\n` }, ...(pid === undefined ? {} : { pid }) })
  return { ...context, clock, kernel, unix, explain, stop, inShop }
}

const thrown = async (work: Promise<unknown>) => codeOf(await work.catch((error: unknown) => error))

describe('who asks for a pid', () => {
  it('is told of the process that has it, and the process is let go', async () => {
    const world = setting()
    const process = world.kernel.spawn({ uid: 33, gid: 34, groups: [4], comm: 'we) b' })
    const { processes, others } = await world.explain({ pid: process.pid })
    expect(processes).toMatchObject([
      { pid: process.pid, uid: 33, gid: 34, groups: [4], command: 'we) b', program: '/usr/bin/app', key: process.key },
    ])
    expect([others, world.kernel.open.size, process.programs, world.clock.pending]).toEqual([[], 0, 0, 0])
  })

  it('is told where there is none', async () => {
    const world = setting()
    const process = world.kernel.spawn()
    process.exit()
    expect(await thrown(world.explain({ pid: process.pid }))).toBe('caller.exited')
    expect(await thrown(world.explain({ pid: 99_999 }))).toBe('caller.exited')
    expect(world.kernel.open.size).toBe(0)
  })

  it('is not told of one process what was found of another that had the pid before', async () => {
    const world = setting()
    const before = world.kernel.spawn({ pid: 500 })
    world.unix.meanwhile = () => {
      before.exit()
      world.kernel.spawn({ pid: 500, uid: 0 })
    }
    const { processes } = await world.explain({ pid: 500 })
    expect(processes).toMatchObject([
      { uid: 1000, explanation: { decision: { kind: 'refuse', code: 'caller.exited' } } },
    ])
  })
})

describe('who asks for a place', () => {
  it('is told of the first process of each container, and of all others that they are there', async () => {
    const world = setting()
    const [web, exec, sidecar] = [world.inShop('web'), world.inShop('web'), world.inShop('proxy')]
    world.kernel.spawn()
    const { how, processes, others } = await world.explain({ pod: { namespace: 'shop', name: 'web' } })
    expect(how).toContain('the shop')
    expect(processes.map(({ pid, container }) => [pid, container?.name])).toEqual([
      [web.pid, 'web'],
      [sidecar.pid, 'proxy'],
    ])
    expect(others).toMatchObject([{ pid: exec.pid, container: { id: 'web' } }])
    expect(world.kernel.open.size).toBe(0)
  })

  it('is not told of a process that got the pid of one that was found', async () => {
    const world = setting()
    world.inShop('web')
    const proxy = world.inShop('proxy')
    world.unix.meanwhile = () => {
      proxy.exit()
      world.kernel.spawn({ pid: proxy.pid })
    }
    const { processes, others } = await world.explain({ container: 'x' })
    expect(processes.map(({ container }) => container?.id)).toEqual(['web'])
    expect(others).toMatchObject([{ pid: proxy.pid, why: expect.stringContaining('not in container proxy any more') }])
  })

  it('is told where nobody is in it', async () => {
    expect(await thrown(setting().explain({ container: 'x' }))).toBe('admin.not_found')
  })

  it('is answered after 5 s, whatever platforms do', async () => {
    const world = setting()
    for (const name of ['a', 'b', 'c', 'd', 'e']) world.inShop(name)
    world.unix.holds = true
    const explained = world.explain({ container: 'x' })
    await world.clock.advance('5s')
    const { processes, others } = await explained
    // Attestation has 2 s here: the third was cut short.
    expect(processes.map(({ container }) => container?.id)).toEqual(['a', 'b', 'c'])
    expect(others.map(({ why }) => why)).toEqual(Array(2).fill(expect.stringContaining('the 5 s were over')))
    expect(world.clock.pending).toBe(0)
  })
})

describe('questions', () => {
  it('are answered one at a time', async () => {
    const world = setting()
    const process = world.kernel.spawn()
    world.unix.holds = true
    const both = Promise.all([world.explain({ pid: process.pid }), world.explain({ pid: process.pid })])
    await settle()
    expect([world.unix.calls, world.kernel.open.size]).toEqual([1, 1])
    world.unix.holds = false
    world.unix.answer()
    await both
    expect(world.unix.calls).toBe(2)
  })

  it('of those who are gone are not answered', async () => {
    const world = setting()
    const process = world.kernel.spawn()
    world.unix.holds = true
    const first = world.explain({ pid: process.pid })
    const second = world.explain({ pid: process.pid })
    await settle()
    world.stop.abort(new Error('gone'))
    await Promise.allSettled([first, second])
    expect(world.unix.calls).toBe(1)
    expect([world.kernel.open.size, world.clock.pending]).toEqual([0, 0])
  })

  it('that fail stop no others', async () => {
    const world = setting()
    const failing = world.explain({ pid: 99_999 })
    const process = world.kernel.spawn()
    expect(await thrown(failing)).toBe('caller.exited')
    expect((await world.explain({ pid: process.pid })).processes).toHaveLength(1)
  })
})
