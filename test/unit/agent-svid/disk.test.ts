import { describe, expect, it } from 'vitest'
import { AgentSvidFile } from '../../../agent/agent-svid/file.js'
import type { Pending } from '../../../agent/agent-svid/record.js'
import { parseRecord } from '../../../agent/agent-svid/record.js'
import { AgentError } from '../../../agent/errors.js'
import { settle } from '../../fakes/clock.js'
import { TENANT } from '../../fakes/control-plane.js'
import { MemoryFiles } from '../../fakes/memory-files.js'
import { IDENTITY_FILE, never, World } from './world.js'

/** The disk refuses the writes from one up to another, counted from 1, from now on. */
function refusing(world: World, code: 'file.io' | 'file.unsafe', from: number, to = from): { writes: number } {
  const counted = { writes: 0 }
  world.files.hook = ({ call, when }) => {
    if (call !== 'write' || when !== 'before') return
    counted.writes++
    if (counted.writes >= from && counted.writes <= to) throw new AgentError(code, 'the disk refuses')
  }
  return counted
}

/** Writes that take a turn of the event loop each, as on a real disk. */
class SlowFiles extends MemoryFiles {
  constructor(private readonly disk: MemoryFiles) {
    super()
  }
  override async writeAtomically(...write: Parameters<MemoryFiles['writeAtomically']>): Promise<void> {
    await settle()
    await this.disk.writeAtomically(...write)
  }
}

/** An identity on disk, and what a renewal makes of it: its attempt, which the disk refused already, and its end. */
async function renewing() {
  const world = await World.create({ generation: 'workspace' })
  world.giveToken()
  const keeper = await world.attested()
  const first = keeper.current()
  await world.clock.advance('25m')
  await keeper.attempt(never())
  const next = keeper.current()
  if (!first || !next) throw new TypeError('there is no identity')
  const owner = { tenantId: TENANT, nodeId: world.server.nodeId }
  const files = new SlowFiles(world.files)
  const file = new AgentSvidFile({ files, dataDir: '/data', owner, spiffeId: next.spiffeId })
  await file.save(first)
  const pending: Pending = { key: next.key, since: world.clock.now(), token: null, answer: null }
  const disk = refusing(world, 'file.io', 1, 2)
  await file.adoptPending({ ...pending, since: first.receivedAt })
  const onDisk = () => parseRecord(world.files.content.get(IDENTITY_FILE)?.toString() ?? '')
  return { file, next, pending, disk, onDisk }
}

describe('a disk that is full for one write more, while another waits its turn', () => {
  it('takes the new identity with that one: none is called saved that is in memory only', async () => {
    const { file, next, disk, onDisk } = await renewing()
    await Promise.all([file.adopt(next), file.flush()])
    expect([disk.writes, file.identity, file.unsaved]).toEqual([3, next, null])
    expect(onDisk()).toMatchObject({ identity: { receivedAt: next.receivedAt }, pending: null })
  })

  it('takes the new attempt with that one', async () => {
    const { file, pending, disk, onDisk } = await renewing()
    await Promise.all([file.adoptPending(pending), file.flush()])
    expect([disk.writes, file.pending, file.unsaved]).toEqual([3, pending, null])
    expect(onDisk().pending?.since).toBe(pending.since)
  })
})

describe('an answer that a join token was spent on', () => {
  it.each(['file.io', 'file.unsafe'] as const)('is kept where the file cannot be written (%s)', async (code) => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    world.server.withoutBundle = true
    refusing(world, code, 2)
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect([keeper.current(), keeper.state().reason?.code]).toEqual([null, code])
    await keeper.attempt(never())
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 1])
  })
})
