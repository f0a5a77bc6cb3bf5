import { describe, expect, test } from 'vitest'
import { DenialLog } from '../../../agent/admin/denials.js'
import type { NearEntry } from '../../../agent/observability/api-events.js'
import { FakeClock } from '../../fakes/clock.js'

const NEAR: NearEntry = {
  id: 'e1',
  spiffeId: 'spiffe://example.org/web',
  lacks: [{ key: 'unix:uid', wanted: '1', found: '0' }],
}

function setUp() {
  const clock = new FakeClock()
  const log = new DenialLog(clock)
  let searched = 0
  const deny = (id: string, uid = 1000, selectors: Readonly<Record<string, string>> = { 'unix:path': '/bin/app' }) =>
    log.observer.denied?.({ pid: 7, uid, gid: uid }, new Map(Object.entries(selectors)), {
      id,
      method: 'FetchX509SVID',
      code: 'entry.none',
      message: 'no identity issued',
      first: true,
      process: 'one',
      unavailable: ['docker'],
      notes: [{ attestor: 'unix', text: 'a note' }],
      nearest: () => {
        searched++
        return [NEAR]
      },
    })
  return { clock, log, deny, searched: () => searched }
}

describe('the log of denials', () => {
  test('keeps what was known of the process when it was denied', async () => {
    const { log, deny, clock } = setUp()
    deny('a', 1000, { 'unix:path': '/bin/app', 'k8s:ns': 'shop', 'k8s:pod-name': 'web-1', 'docker:container-id': 'c1' })
    expect(log.get('a')).toEqual({
      ...{ id: 'a', number: 1, time: clock.now(), lastTime: clock.now(), count: 1 },
      ...{
        pid: 7,
        uid: 1000,
        gid: 1000,
        process: 'one',
        program: '/bin/app',
        container: 'c1',
        pod: 'shop/web-1',
        unit: null,
      },
      ...{ method: 'FetchX509SVID', code: 'entry.none', reason: 'no identity issued' },
      explanation: {
        selectors: expect.any(Map),
        unavailable: ['docker'],
        notes: [{ attestor: 'unix', text: 'a note' }],
        nearest: [NEAR],
      },
    })
    expect(log.get('b')).toBeNull()
  })

  test('counts the same denial that is told again, and neither searches nor keeps it twice', async () => {
    const { log, deny, clock, searched } = setUp()
    deny('a')
    const { time } = log.get('a') ?? { time: 0 }
    await clock.advance('5s')
    deny('a')
    expect(log.get('a')).toMatchObject({ count: 2, time, lastTime: time + 5_000 })
    expect([log.size, searched()]).toEqual([1, 1])
  })

  test('forgets of one who is denied in a loop, and of nobody else', () => {
    const { log, deny } = setUp()
    deny('quiet', 2000)
    for (let i = 0; i < 5_000; i++) deny(`loud${i}`)
    expect(log.get('quiet')).not.toBeNull()
    expect([log.size, log.evicted]).toEqual([51, 4_950])
    expect(log.last(1)[0]?.id).toBe('loud4999')
  })

  test('has at most a thousand, and makes room at the cost of who has most', () => {
    const { log, deny } = setUp()
    for (let i = 0; i < 50; i++) deny(`of-many-${i}`, 1)
    for (let uid = 100; uid < 1_090; uid++) deny(`single-${uid}`, uid)
    expect(log.size).toBe(1_000)
    expect(log.get('single-100')).not.toBeNull()
    expect(log.all().filter(({ uid }) => uid === 1)).toHaveLength(10)
    expect(log.get('single-1089')).not.toBeNull()
  })

  test('holds 2 MB of texts at most, whatever selectors are made of', () => {
    const { log, deny } = setUp()
    const large = 'x'.repeat(40_000)
    for (let uid = 0; uid < 200; uid++) deny(`d${uid}`, uid, { 'docker:label:a': large })
    expect(log.size).toBeLessThan(50)
    expect(log.evicted).toBe(200 - log.size)
    expect(log.get('d199')?.explanation?.selectors.get('docker:label:a')).toBe(large)
  })

  test('keeps a denial without its explanation where that is too large', () => {
    const { log, deny } = setUp()
    deny('huge', 1, { 'docker:label:a': 'x'.repeat(70_000) })
    expect(log.get('huge')).toMatchObject({ code: 'entry.none', explanation: null })
  })

  test('searches for the nearest entries ten times a second at most: it may take milliseconds', async () => {
    const { log, deny, clock, searched } = setUp()
    for (let uid = 0; uid < 30; uid++) deny(`d${uid}`, uid)
    expect(searched()).toBe(10)
    expect(log.get('d29')?.explanation?.nearest).toBeNull()
    await clock.advance('1s')
    deny('later', 99)
    expect(log.get('later')?.explanation?.nearest).toEqual([NEAR])
  })
})
