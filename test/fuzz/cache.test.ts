import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { open, seal } from '../../agent/crypto/sealed-box.js'
import type { RenewableSvid } from '../../agent/svids/entry-state.js'
import { formatEntries, formatManifest, formatSvid } from '../../agent/svids/sealed-cache/cache-format.js'
import { MemoryFiles } from '../fakes/memory-files.js'
import { ACCOUNT, CacheLife, CacheWorld, entryOf, PATH, secretKey } from '../unit/svids/sealed-cache/cache-world.js'
import { accepted, always, alwaysAsync } from './fuzz.js'
import { mutated, mutatedJson, mutatedText, mutations } from './mutations.js'

const REJECTED = ['cache.rejected']
const context = (purpose: string) => ({ account: ACCOUNT, nodeId: 'node-1', purpose })

describe('a sealed box', () => {
  const box = seal(secretKey(1), Buffer.from('what is inside'), context('manifest'))

  test('that was changed does not open', () => {
    always(5_000, mutations, (changes) => {
      const bytes = mutated(box, changes)
      if (!bytes.equals(box)) {
        expect(accepted(REJECTED, () => open(secretKey(1), bytes, context('manifest')))).toBeNull()
      }
    })
  })

  test('of any bytes does not open', () => {
    const headed = fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.concat([box.subarray(0, 5), bytes]))
    always(3_000, fc.oneof(fc.uint8Array({ maxLength: 200 }), headed), (bytes) => {
      expect(accepted(REJECTED, () => open(secretKey(1), bytes, context('manifest')))).toBeNull()
    })
  })

  test('opens for nothing but what it was sealed for', () => {
    const field = fc.string({ maxLength: 12 })
    always(3_000, fc.tuple(field, field, field, field, field, field), ([a, b, c, d, e, f]) => {
      const sealed = seal(secretKey(1), Buffer.from('x'), { account: a, nodeId: b, purpose: c })
      const opened = accepted(REJECTED, () => open(secretKey(1), sealed, { account: d, nodeId: e, purpose: f }))
      expect(opened !== null).toBe(a === d && b === e && c === f)
    })
  })
})

/** The texts of a cache that holds one SVID, before they are sealed. */
let world: CacheWorld
let held: RenewableSvid
let texts: Readonly<Record<'manifest' | 'entries' | 'svid', string>>
let paths: Readonly<Record<'manifest' | 'entries' | 'svid', string>>

beforeAll(async () => {
  const files = new MemoryFiles()
  world = await CacheWorld.create(files)
  held = await world.held('e1')
  const life = new CacheLife(world)
  await life.whileRunning(() => life.publish({ e1: { kind: 'issued', held } }))
  const svid = [...files.content.keys()].find((path) => path.endsWith('.sealed')) ?? ''
  paths = { manifest: PATH, entries: `${PATH}.entries`, svid }
  const manifest = {
    lastSeen: world.clock.now(),
    history: world.history.state,
    jwtKeys: [],
    lastUses: new Map([['e1', 5]]),
    commonName: 'localhost',
  }
  texts = {
    manifest: formatManifest(manifest),
    entries: formatEntries([entryOf('e1')]),
    svid: formatSvid({ entryId: 'e1', held, next: { held, from: world.clock.now() + 1_000 } }),
  }
})

const PURPOSE = { manifest: 'manifest', entries: 'entries', svid: 'svid e1' } as const
type File = keyof typeof PURPOSE

/** Restores from a disk on which one file holds something else, rightly sealed: a program of ours wrote it wrongly. */
async function restored(file: File, text: string) {
  const files = new MemoryFiles()
  for (const name of Object.keys(PURPOSE) as File[]) {
    const content = name === file ? text : texts[name]
    files.content.set(paths[name], seal(world.keys.current, Buffer.from(content), context(PURPOSE[name])))
  }
  const life = new CacheLife(await withFiles(files))
  return { found: await life.cache.restore(), life }
}

async function withFiles(files: MemoryFiles): Promise<CacheWorld> {
  const other = Object.create(world) as CacheWorld
  Object.defineProperty(other, 'files', { value: files })
  return other
}

describe('a cache that holds what it should not', () => {
  test('is as it was where nothing was changed', async () => {
    const { found } = await restored('manifest', texts.manifest)
    expect(found?.snapshot.states.get('e1')).toMatchObject({ kind: 'issued' })
  })

  test.each(['manifest', 'entries', 'svid'] as const)(
    'in its %s never stops a start, and nothing unverified comes of it',
    async (file) => {
      const original = JSON.parse(texts[file]) as unknown
      const wrong = fc.oneof(
        mutatedJson(original).map((value) => JSON.stringify(value) ?? ''),
        mutations.map((changes) => mutatedText(texts[file], changes)),
        fc.json({ maxDepth: 3 }),
      )
      await alwaysAsync(500, wrong, async (text) => {
        const { found } = await restored(file, text)
        for (const [id, state] of found?.snapshot.states ?? []) {
          if (state.kind !== 'issued') continue
          const { spiffeId } = state.held.svid
          expect(spiffeId.uri).toBe(found?.snapshot.entries.get(id)?.spiffeId.uri)
          expect(state.held.svid.chain.map((der) => Buffer.from(der))).toEqual(
            held.svid.chain.map((der) => Buffer.from(der)),
          )
        }
      })
    },
  )
})
