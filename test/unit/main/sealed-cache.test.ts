import { beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { workloadCommonName } from '../../../agent/icp/common-name.js'
import { restoreCache } from '../../../agent/main/sealed-cache.js'
import { AuthorityHistory } from '../../../agent/svids/authority-history.js'
import type { EarlierRun } from '../../../agent/svids/restore.js'
import { type DiskOperation, MemoryFiles } from '../../fakes/memory-files.js'
import { ACCOUNT, CacheLife, CacheWorld, PATH, secretKey } from '../svids/sealed-cache/cache-world.js'

let files: MemoryFiles
let world: CacheWorld

beforeEach(async () => {
  files = new MemoryFiles()
  world = await CacheWorld.create(files)
})

/** An agent that starts on the world's disk, as far as its cache sees it. `run` comes to its end with the signal. */
async function start({ configured = true } = {}) {
  const { store, demand, sinks } = new CacheLife(world)
  const restored: number[] = []
  const key = configured ? secretKey(1) : null
  const agent = {
    store,
    demand,
    config: {
      agent: { dataDir: '/data', tenantId: ACCOUNT, nodeId: 'node-1' },
      security: { cacheEncryptionKey: key, cacheEncryptionKeyPrevious: null, cachePath: PATH },
    },
    publisher: { history: AuthorityHistory.empty(ACCOUNT) },
    restore: ({ snapshot }: EarlierRun) => void restored.push(snapshot.states.size),
    client: { skew: () => null },
    commonName: workloadCommonName({ mode: 'auto' }, { clock: world.clock, own: () => null }),
  }
  const { events, run } = await restoreCache(agent, { files, clock: world.clock, log: sinks.log })
  const stop = new AbortController()
  const running = run(stop.signal)
  return {
    ...{ store, events, restored },
    said: () => sinks.events('warn'),
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error('stop'))
      await running
    },
  }
}

/** The disk fails in one way, until it is disposed. */
function failing(call: DiskOperation['call'], path: string): Disposable {
  files.hook = (operation) => {
    if (operation.call === call && operation.path === path) throw new AgentError('file.io', 'the disk fails')
  }
  return {
    [Symbol.dispose]: () => {
      files.hook = () => undefined
    },
  }
}

describe('a disk that cannot be read at start', () => {
  test.each([PATH, `${PATH}.entries`])('is tried again, and what it holds is served then (%s)', async (path) => {
    await world.written('web', 'db')
    const broken = failing('read', path)
    await using agent = await start()
    await world.clock.advance('1m')
    expect(agent.restored).toEqual([])
    expect(agent.events.trouble()).toMatchObject({ code: 'file.io' })
    expect(agent.said()).toEqual(['Sealed cache could not be opened; the agent goes on from memory and tries again'])
    broken[Symbol.dispose]()
    await world.clock.advance('15s')
    expect(agent.restored).toEqual([2])
    expect(agent.events.trouble()).toBeNull()
  })

  test('keeps what it holds: nothing is written over it while nothing is known', async () => {
    await world.written('web')
    const before = new Map(files.content)
    {
      using _broken = failing('read', PATH)
      await using _agent = await start()
      await world.clock.advance('1h')
    }
    expect(files.content).toEqual(before)
  })

  test('is written anew once the server has named the entries', async () => {
    await world.written('web')
    {
      using _broken = failing('read', PATH)
      await using agent = await start()
      agent.store.publish({ synced: true }, { entries: 'all', bundles: false })
      await world.clock.advance('20s')
      expect(agent.restored).toEqual([])
      expect(agent.events.trouble()).toBeNull()
    }
    expect((await new CacheLife(world).cache.restore())?.snapshot.entries.size).toBe(0)
  })
})

test('a sealing key that cannot be written to a full disk is made when there is room', async () => {
  const full = failing('write', '/data/cache.key')
  await using agent = await start({ configured: false })
  agent.store.publish({ synced: true }, { entries: 'all', bundles: false })
  await world.clock.advance('1m')
  expect([...files.content.keys()]).toEqual([])
  full[Symbol.dispose]()
  await world.clock.advance('20s')
  expect([...files.content.keys()]).toEqual(['/data/cache.key', PATH, `${PATH}.entries`])
  expect(agent.events.trouble()).toBeNull()
})
