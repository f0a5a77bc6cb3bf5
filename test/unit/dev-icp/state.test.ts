import { describe, expect, test } from 'vitest'
import { codeOf } from '../../../agent/errors.js'
import { readState, type State, StateFile } from '../../../dev/icp-server/state.js'
import { FakeClock } from '../../fakes/clock.js'
import { TemporaryFiles } from '../../fakes/files.js'

const STATE: State = {
  version: 1,
  accountId: 'a',
  serverCa: { key: 'k', certificate: 'c' },
  authorities: [{ key: 'k', certificate: 'c' }],
  jwtKey: null,
  revokedJwts: [],
  delegations: {},
  entries: [],
  agents: [],
  joinTokens: [],
  svids: [],
}

describe('the state', () => {
  test('is null where there is none, and refused when it is damaged', async () => {
    await using files = await TemporaryFiles.create()
    const path = files.path('state.json')
    expect(await readState(files, path)).toBeNull()
    await new StateFile(files, new FakeClock(), path, () => STATE).save()
    expect(await readState(files, path)).toEqual(STATE)
    for (const damaged of [
      '',
      '{}',
      JSON.stringify({ ...STATE, version: 2 }),
      JSON.stringify({ ...STATE, authorities: [] }),
    ]) {
      await files.writeAtomically(path, Buffer.from(damaged))
      expect(codeOf(await readState(files, path).catch((error: unknown) => error))).toBe('file.io')
    }
  })

  test('a burst of saves costs two writes, and each resolves with its own change on disk', async () => {
    await using files = await TemporaryFiles.create()
    const path = files.path('state.json')
    let account = 0
    const file = new StateFile(files, new FakeClock(), path, () => ({ ...STATE, accountId: String(account) }))
    const saves = Array.from({ length: 100 }, () => {
      account++
      return file.save()
    })
    await Promise.all(saves)
    expect((await readState(files, path))?.accountId).toBe('100')
    account++
    await file.save()
    expect((await readState(files, path))?.accountId).toBe('101')
    expect(files.calls.filter((call) => call.startsWith('rename')).length).toBeLessThanOrEqual(3)
  })

  test('what may be lost is on disk a second later, in one write, or when all ends', async () => {
    await using files = await TemporaryFiles.create()
    const path = files.path('state.json')
    const clock = new FakeClock()
    let account = 0
    const file = new StateFile(files, clock, path, () => ({ ...STATE, accountId: String(account) }))
    for (account = 1; account < 50; account++) file.saveSoon()
    await clock.advance('999ms')
    expect(await readState(files, path)).toBeNull()
    await clock.advance('1ms')
    await expect.poll(async () => (await readState(files, path))?.accountId).toBe('50')
    expect(clock.pending).toBe(0)
    account = 51
    file.saveSoon()
    await file[Symbol.asyncDispose]()
    expect((await readState(files, path))?.accountId).toBe('51')
    expect(clock.pending).toBe(0)
  })

  test('a write that fails is told to who waited for it, and the next one is tried', async () => {
    await using files = await TemporaryFiles.create()
    const path = files.path('state.json')
    const file = new StateFile(files, new FakeClock(), path, () => STATE)
    {
      using _full = files.fail('write', 'ENOSPC')
      expect(codeOf(await file.save().catch((error: unknown) => error))).toBe('file.io')
    }
    await file.save()
    expect(await readState(files, path)).toEqual(STATE)
  })
})
