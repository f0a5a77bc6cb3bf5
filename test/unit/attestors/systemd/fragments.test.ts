import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../../agent/errors.js'
import { Fragments } from '../../../../attestors/systemd/fragments.js'
import type { Property } from '../../../../attestors/systemd/manager-bus.js'
import type { Unit } from '../../../../attestors/systemd/unit-of.js'
import { FakeClock } from '../../../fakes/clock.js'

const NGINX: Unit = { id: 'nginx.service', slice: 'system.slice', groups: ['/system.slice/nginx.service'] }
const FILE = '/usr/lib/systemd/system/nginx.service'
const FOREVER = new AbortController().signal

/** A manager that says what it is told to; without an answer it waits until its deadline. */
function setting() {
  const clock = new FakeClock()
  const questions: (readonly Property[])[] = []
  const manager: { answer: readonly (string | null)[] | Error | null } = {
    answer: ['/system.slice/nginx.service', FILE],
  }
  const fragments = new Fragments({
    clock,
    ask: async (properties, signal) => {
      questions.push(properties)
      if (manager.answer instanceof Error) throw manager.answer
      if (manager.answer) return manager.answer
      return await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
  })
  return { clock, questions, manager, fragments, of: (unit = NGINX, signal = FOREVER) => fragments.of(unit, signal) }
}

describe('the file of a unit', () => {
  it('is what the manager says of the unit that it keeps in this control group', async () => {
    const { of, questions } = setting()
    expect(await of()).toEqual({ kind: 'known', path: FILE })
    const path = '/org/freedesktop/systemd1/unit/nginx_2eservice'
    expect(questions).toEqual([
      [
        { path, interface: 'org.freedesktop.systemd1.Service', name: 'ControlGroup' },
        { path, interface: 'org.freedesktop.systemd1.Unit', name: 'FragmentPath' },
      ],
    ])
  })

  it.each<[string, string, string, string]>([
    ['an instance', 't@\\xc3\\xbc-b.service', 't_40_5cxc3_5cxbc_2db_2eservice', 'Service'],
    ['a name that begins with a digit', '9p.mount', '_39p_2emount', 'Mount'],
    ['a session', 'session-3.scope', 'session_2d3_2escope', 'Scope'],
  ])('is asked for by the object of %s', async (_what, id, object, type) => {
    const { of, questions } = setting()
    await of({ ...NGINX, id })
    expect(questions[0]?.[0]).toMatchObject({
      path: `/org/freedesktop/systemd1/unit/${object}`,
      interface: `org.freedesktop.systemd1.${type}`,
    })
  })

  it('is none where systemd made the unit by itself', async () => {
    const { of, manager } = setting()
    manager.answer = ['/system.slice/nginx.service', '']
    expect(await of()).toMatchObject({ kind: 'absent' })
  })

  it.each<[string, readonly (string | null)[]]>([
    ['has no such unit', [null, null]],
    ['keeps the unit elsewhere', ['/web.slice/nginx.service', FILE]],
    ['does not run the unit', ['', FILE]],
  ])('is nobody’s where the manager %s: somebody else made the group', async (_what, answer) => {
    const { of, manager } = setting()
    manager.answer = answer
    expect(await of()).toMatchObject({ kind: 'foreign' })
  })

  it('is asked for once by all who ask at the same time, and again after ten seconds', async () => {
    const { of, manager, questions, clock } = setting()
    await Promise.all(Array.from({ length: 50 }, () => of(NGINX, new AbortController().signal)))
    await clock.advance(9_999)
    await of()
    expect(questions).toHaveLength(1)
    await clock.advance(1)
    manager.answer = ['/system.slice/nginx.service', '/etc/systemd/system/nginx.service']
    expect(await of()).toEqual({ kind: 'known', path: '/etc/systemd/system/nginx.service' })
    expect(questions).toHaveLength(2)
  })

  it('units of one name in two slices are two', async () => {
    const { of, questions } = setting()
    await of()
    expect(await of({ ...NGINX, slice: 'web.slice', groups: ['/web.slice/nginx.service'] })).toMatchObject({
      kind: 'foreign',
    })
    expect(questions).toHaveLength(2)
  })

  it('is unknown when nobody answers, which is not remembered', async () => {
    const { of, manager } = setting()
    manager.answer = new AgentError('platform.unavailable', 'no bus')
    expect(await of()).toEqual({ kind: 'unknown', why: 'no bus' })
    manager.answer = ['/system.slice/nginx.service', FILE]
    expect(await of()).toMatchObject({ kind: 'known' })
  })

  it('a manager that hangs is waited for one second', async () => {
    const { of, manager, clock, questions } = setting()
    manager.answer = null
    const asked = of()
    await clock.advance(999)
    expect(await Promise.race([asked, Promise.resolve('waiting')])).toBe('waiting')
    await clock.advance(1)
    expect(await asked).toMatchObject({ kind: 'unknown' })
    expect(clock.pending).toBe(0)
    expect(questions).toHaveLength(1)
  })

  it('a caller who gives up leaves the question to those who wait', async () => {
    const { of, manager, clock } = setting()
    manager.answer = null
    const impatient = new AbortController()
    const first = of(NGINX, impatient.signal)
    const second = of()
    impatient.abort()
    expect(await first).toMatchObject({ kind: 'unknown' })
    expect(await Promise.race([second, Promise.resolve('waiting')])).toBe('waiting')
    await clock.advance(1_000)
    expect(await second).toMatchObject({ kind: 'unknown' })
    expect(await of(NGINX, AbortSignal.abort())).toMatchObject({ kind: 'unknown' })
  })

  it('a thousand units are remembered, no more', async () => {
    const { of, manager, questions } = setting()
    manager.answer = ['', '']
    const unit = (n: number): Unit => ({ ...NGINX, groups: [`/system.slice/s${n}.service`] })
    for (let n = 0; n <= 1_024; n++) await of(unit(n))
    await of(unit(1_024))
    expect(questions).toHaveLength(1_025)
    await of(unit(0))
    expect(questions).toHaveLength(1_026)
  })
})

describe('a manager that has just been executed again', () => {
  it('withdraws no unit that it owned to, until it denies it a second time, ten seconds later', async () => {
    const { clock, of, manager } = setting()
    const owned = manager.answer
    expect((await of()).kind).toBe('known')
    await clock.advance('10s')
    manager.answer = [null, null]
    expect((await of()).kind).toBe('unknown')
    await clock.advance('5s')
    expect((await of()).kind).toBe('unknown')
    manager.answer = owned
    expect((await of()).kind).toBe('known')
    await clock.advance('10s')
    manager.answer = [null, null]
    expect((await of()).kind).toBe('unknown')
    await clock.advance('10s')
    expect((await of()).kind).toBe('foreign')
  })

  it('is believed at once about a unit that it never owned to', async () => {
    const { of, manager } = setting()
    manager.answer = [null, null]
    expect((await of()).kind).toBe('foreign')
  })
})
