import { readFileSync } from 'node:fs'
import { beforeEach, describe, expect, test } from 'vitest'
import { open } from '../../../../agent/crypto/sealed-box.js'
import { EntryIndex } from '../../../../agent/svids/entry-index.js'
import type { RestoredCache } from '../../../../agent/svids/sealed-cache/sealed-cache.js'
import { MemoryFiles } from '../../../fakes/memory-files.js'
import { ACCOUNT, CacheLife, CacheWorld, entryOf, PATH, secretKey } from './cache-world.js'

/**
 * A cache that the agent wrote when sync, store and cache were three folders. Its key is that of these tests, 32 bytes of
 * 1; its private keys were made for it and are used nowhere else.
 */
const OLD: { writtenAt: number; serials: Record<string, string>; files: Record<string, string> } = JSON.parse(
  readFileSync(new URL('./written-by-an-earlier-version.json', import.meta.url), 'utf8'),
)

let files: MemoryFiles
let world: CacheWorld
let life: CacheLife
let restored: RestoredCache

beforeEach(async () => {
  files = new MemoryFiles()
  for (const [path, content] of Object.entries(OLD.files)) files.content.set(path, Buffer.from(content, 'base64'))
  world = await CacheWorld.create(files)
  await world.clock.advance(`${OLD.writtenAt - world.clock.now()}ms`)
  life = another()
  const found = await life.cache.restore()
  if (!found) throw new TypeError('nothing was restored')
  restored = found
})

function another(): CacheLife {
  return new CacheLife(world, { history: () => restored.history, commonName: () => restored.commonName })
}

describe('a sealed cache of the version before', () => {
  test('is served: entries, SVIDs, the one that is held back, keys of JWT-SVIDs, authorities, last uses', () => {
    const { snapshot, history, lastUses, commonName, clockBehind } = restored
    expect(life.sinks.events('warn')).toEqual([])
    expect([...snapshot.entries.values()]).toEqual([
      entryOf('web'),
      {
        ...entryOf('db'),
        ttlSeconds: 7200,
        createdAt: 1_700_000_000_000,
        assigned: false,
        selectors: new Map([
          ['docker:label:app', 'db'],
          ['unix:uid', '70'],
        ]),
      },
      { ...entryOf('idle'), selectors: new Map() },
    ])
    const [web, db] = ['web', 'db'].map((id) => snapshot.states.get(id))
    if (web?.kind !== 'issued' || db?.kind !== 'issued') throw new TypeError('not issued')
    expect([web.held.svid.serial, db.held.svid.serial, db.next?.held.svid.serial]).toEqual([
      OLD.serials['web'],
      OLD.serials['db'],
      OLD.serials['dbNext'],
    ])
    expect(snapshot.states.size).toBe(2)
    expect(snapshot.jwtKeys.map(({ jwk }) => jwk.kid)).toEqual(['one'])
    expect(history.records).toHaveLength(2)
    expect([...history.domains.keys()].sort()).toEqual([ACCOUNT, 'other.example'].sort())
    expect([...lastUses.keys()]).toEqual(['web'])
    expect([commonName, clockBehind]).toEqual(['localhost', false])
  })

  test('is written back as that version wrote it, so that it reads it after a downgrade', async () => {
    const before = plaintexts()
    const { entries } = restored.snapshot
    files.content.clear()
    // A life that knows nothing of what lies on the disk.
    life = another()
    await life.whileRunning(() => {
      life.demand.restore(restored.lastUses)
      life.store.publish(
        { synced: true, ...restored.snapshot, index: new EntryIndex(entries.values()) },
        { entries: 'all', bundles: true },
      )
    })
    expect([...files.content.keys()].sort()).toEqual(Object.keys(OLD.files).sort())
    expect(plaintexts()).toEqual(before)
  })
})

/** What the files hold by their paths; the moment of writing left out. */
function plaintexts(): Record<string, unknown> {
  return Object.fromEntries(
    [...files.content]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, box]) => {
        const { lastSeen: _, ...content } = JSON.parse(opened(path, box))
        return [path, content]
      }),
  )
}

function opened(path: string, box: Uint8Array): string {
  const purposes = path === PATH ? ['manifest'] : ['entries', ...['web', 'db', 'idle'].map((id) => `svid ${id}`)]
  for (const purpose of purposes) {
    try {
      return open(secretKey(1), box, { account: ACCOUNT, nodeId: 'node-1', purpose }).toString('utf8')
    } catch {
      // It was sealed for something else.
    }
  }
  throw new TypeError(`${path} does not open`)
}
