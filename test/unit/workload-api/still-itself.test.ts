import { describe, expect, it } from 'vitest'
import { type Caller, callerOf } from '../../../agent/attestation/caller.js'
import { stillItself } from '../../../agent/workload-api/still-itself.js'
import { FakeKernel, type FakeProcess } from '../../fakes/kernel.js'

function check(change: (process: FakeProcess, caller: Caller) => void, executable: string | null = '/usr/bin/app') {
  const kernel = new FakeKernel()
  const process = kernel.spawn({ uid: 1000, gid: 2000, executable })
  const caller = callerOf(kernel.peer(process))
  change(process, caller)
  return stillItself(caller)?.code ?? null
}

describe('a caller', () => {
  it.each<[string, string | null, (process: FakeProcess, caller: Caller) => void]>([
    ['that did nothing is itself', null, () => {}],
    ['that exited is not', 'caller.exited', (p) => p.exit()],
    ['whose handle was given up is not', 'caller.exited', (_, c) => c.process[Symbol.dispose]()],
    ['that runs another program is not', 'caller.executable_changed', (p) => p.exec('/usr/bin/trusted')],
    [
      'that runs the same file through another mount is not',
      'caller.executable_changed',
      (p) => p.exec('/usr/bin/app', 7n),
    ],
    [
      'whose program cannot be seen any more is nobody that is known',
      'caller.unidentified',
      (p) => {
        p.executable = null
      },
    ],
    [
      'whose program hides and whose ids differ is not',
      'caller.ids_changed',
      (p) => {
        p.execSetuid('/usr/bin/sudo', 0)
        p.executable = null
      },
    ],
    ...[0, 1, 2, 3].map((i): [string, string, (process: FakeProcess) => void] => [
      `whose user id ${i} of four differs is not`,
      'caller.ids_changed',
      (p) => {
        p.statusIds = { uids: [1000, 1000, 1000, 1000].with(i, 0) }
      },
    ]),
    ...[0, 1, 2, 3].map((i): [string, string, (process: FakeProcess) => void] => [
      `whose group id ${i} of four differs is not`,
      'caller.ids_changed',
      (p) => {
        p.statusIds = { gids: [2000, 2000, 2000, 2000].with(i, 0) }
      },
    ]),
    ['that execs a setuid program is not', 'caller.executable_changed', (p) => p.execSetuid('/usr/bin/sudo', 0)],
    [
      'whose ids the kernel does not show is not',
      'caller.unidentified',
      (p) => {
        p.statusIds = { uids: [] }
      },
    ],
  ])('%s', (_name, code, change) => {
    expect(check(change)).toBe(code)
  })

  it('is judged by device and inode where the kernel names no mount', () => {
    const kernel = new FakeKernel()
    const process = kernel.spawn({ uid: 1000, gid: 2000 })
    process.exec('/usr/bin/app', null)
    const caller = callerOf(kernel.peer(process))
    expect(stillItself(caller)).toBeNull()
    process.exec('/usr/bin/trusted', null)
    expect(stillItself(caller)?.code).toBe('caller.executable_changed')
  })

  it('whose program can never be seen is judged by the rest', () => {
    expect(check(() => {}, null)).toBeNull()
    expect(check((p) => p.exec('/usr/bin/app'), null)).toBe('caller.executable_changed')
  })
})
