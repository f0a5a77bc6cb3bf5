import { beforeEach, describe, expect, test } from 'vitest'
import type { LoadedConfig } from '../../../agent/config/load.js'
import { Secret } from '../../../agent/crypto/secret.js'
import { AgentError } from '../../../agent/errors.js'
import { LiveConfig } from '../../../agent/main/live-config.js'
import { type PreparedChange, Reload, type Reloadable } from '../../../agent/main/reload.js'
import { reloadEvents } from '../../../agent/observability/reload-events.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { KEY, load, TENANT } from '../config/given.js'

const settings = (more = '') => load({ file: `agent: {tenant_id: ${TENANT}}\n${more}` })
const HOLD = 'workload_api: {hold: 7s}\n'

/** A part that says what becomes of it. */
function part(name: string, said: string[], prepare: () => Promise<unknown> = async () => undefined): Reloadable {
  return {
    setting: 'attestation.type',
    prepare: async (): Promise<PreparedChange> => {
      await prepare()
      said.push(`${name} prepared`)
      return {
        commit: () => void said.push(`${name} in force`),
        [Symbol.dispose]: () => void said.push(`${name} given up`),
      }
    },
  }
}

const fails = (message: string) => async () => {
  throw new AgentError('file.io', message)
}

async function world(...parts: readonly Reloadable[]) {
  const { config, settings: before } = await settings()
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const live = new LiveConfig(config)
  const stop = new AbortController()
  const manager: string[] = []
  let read: () => Promise<LoadedConfig> = () => settings(HOLD)
  const reload = new Reload({
    source: { path: '/etc/config.yaml', env: {}, settings: before, reread: () => read() },
    ...{ live, parts, clock, signal: stop.signal, events: reloadEvents(sinks, clock) },
    serviceManager: { reloading: () => void manager.push('reloading'), ready: () => void manager.push('ready') },
  })
  return {
    ...{ reload, live, stop, manager, sinks },
    reads: (next: typeof read) => {
      read = next
    },
  }
}

let said: string[]
beforeEach(() => {
  said = []
})

describe('a reload', () => {
  test('prepares every part before the first is in force, and tells the service manager of both', async () => {
    const { reload, live, manager } = await world(part('one', said), part('two', said))
    const { holdMs } = live.config.workloadApi
    const seen: number[] = []
    using _told = live.subscribe(() => seen.push(live.config.workloadApi.holdMs))
    const report = await reload.run('reload')
    expect(report).toMatchObject({ ok: true, changed: [{ key: 'workload_api.hold', from: '4s', to: '7s' }] })
    expect(said).toEqual(['one prepared', 'two prepared', 'one in force', 'two in force'])
    expect([holdMs, ...seen]).toEqual([4_000, 7_000])
    expect(manager).toEqual(['reloading', 'ready'])
    expect(reload.last).toBe(report)
  })

  test('of which two parts fail tells both, gives the others up and changes nothing', async () => {
    const parts = [part('one', said), part('two', said, fails('two is away')), part('three', said)]
    const { reload, live, manager } = await world(...parts, part('four', said, fails('four is away')))
    const section = live.config.workloadApi
    const report = await reload.run('SIGHUP')
    expect(report.ok).toBe(false)
    expect(report.problems.map(({ problem }) => problem)).toEqual([
      'cannot be used: two is away',
      'cannot be used: four is away',
    ])
    expect(said).toEqual(['one prepared', 'three prepared', 'one given up', 'three given up'])
    expect(section.holdMs).toBe(4_000)
    expect(reload.settings['workload_api.hold'].value).toBe(4_000)
    expect(manager).toEqual(['reloading', 'ready'])
  })

  test('is told as a defect where a part fails in a way that nobody foresaw, and the next one works', async () => {
    let broken = true
    const odd = part('one', said, async () => {
      if (broken) throw new TypeError('undefined is not a function')
    })
    const { reload, live, reads } = await world(odd)
    expect(await reload.run('reload')).toMatchObject({ ok: false, problems: [{ key: 'attestation.type' }] })
    reads(async () => {
      throw new TypeError('odd')
    })
    const report = await reload.run('reload')
    expect(report.problems).toMatchObject([{ key: '(reload)', problem: 'failed by a defect: odd' }])
    broken = false
    reads(() => settings(HOLD))
    expect((await reload.run('reload')).ok).toBe(true)
    expect(live.config.workloadApi.holdMs).toBe(7_000)
  })

  test('that is asked for while one runs reads again afterwards, once for all who ask', async () => {
    let reads = 0
    const running = deferred()
    const w = await world()
    w.reads(async () => {
      reads += 1
      if (reads === 1) await running.promise
      return settings(HOLD)
    })
    const first = w.reload.run('reload')
    const others = [w.reload.run('SIGHUP'), w.reload.run('reload'), w.reload.run('watch')]
    running.resolve(undefined)
    const [one, ...more] = await Promise.all([first, ...others])
    expect(reads).toBe(2)
    expect(one?.changed).toHaveLength(1)
    expect(new Set(more).size).toBe(1)
    expect(more[0]?.changed).toEqual([])
  })
})

describe('a reload, once others have waited,', () => {
  test('that is asked for while another runs reads again as well', async () => {
    let reads = 0
    const { reload, ...w } = await world()
    w.reads(() => {
      reads += 1
      return settings(HOLD)
    })
    await Promise.all([reload.run('reload'), reload.run('reload')])
    await Promise.all([reload.run('reload'), reload.run('reload')])
    expect(reads).toBe(4)
  })

  test('that changes nothing tells nobody', async () => {
    const { reload, live } = await world()
    let told = 0
    using _told = live.subscribe(() => {
      told += 1
    })
    await reload.run('reload')
    await reload.run('reload')
    expect(told).toBe(1)
  })
})

test('a secret of the configuration in force is a secret still', async () => {
  const { config } = await load({ file: `agent: {tenant_id: ${TENANT}}\nsecurity: {cache_encryption_key: ${KEY}}\n` })
  expect(config.security.cacheEncryptionKey).toBeInstanceOf(Secret)
  expect(new LiveConfig(config).config.security.cacheEncryptionKey).toBe(config.security.cacheEncryptionKey)
})

describe('a reload while the agent stops', () => {
  const STOPPING = { ok: false, problems: [{ key: '(reload)', problem: 'is stopping' }] }

  test('that has begun to read is given up at once', async () => {
    const w = await world(part('one', said))
    w.reads(() => new Promise<never>(() => undefined))
    const report = w.reload.run('reload')
    w.stop.abort()
    expect(await report).toMatchObject(STOPPING)
    expect(said).toEqual([])
    expect(w.live.config.workloadApi.holdMs).toBe(4_000)
    // Nobody is told of the service that it is ready, and no alert is raised.
    expect(w.manager).toEqual(['reloading'])
    expect([w.reload.last, w.sinks.events('warn'), w.sinks.events('error')]).toEqual([null, [], []])
  })

  test('that has prepared its parts puts none into force', async () => {
    const w = await world(
      part('one', said),
      part('two', said, async () => w.stop.abort()),
    )
    expect(await w.reload.run('reload')).toMatchObject(STOPPING)
    expect(said).toEqual(['one prepared', 'two prepared', 'one given up', 'two given up'])
    expect(w.live.config.workloadApi.holdMs).toBe(4_000)
  })

  test('is refused, and so is one that waits for another', async () => {
    const w = await world(part('one', said))
    const first = w.reload.run('reload')
    const second = w.reload.run('reload')
    w.stop.abort()
    expect(await first).toMatchObject(STOPPING)
    expect(await second).toMatchObject(STOPPING)
    expect(await w.reload.run('SIGHUP')).toMatchObject(STOPPING)
    expect(said).toEqual([])
  })
})

function deferred() {
  let resolve: (value: unknown) => void = () => undefined
  const promise = new Promise((done) => {
    resolve = done
  })
  return { promise, resolve }
}
