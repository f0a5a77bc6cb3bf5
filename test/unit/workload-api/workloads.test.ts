import { describe, expect, it } from 'vitest'
import { callerOf } from '../../../agent/attestation/caller.js'
import { callerEvents } from '../../../agent/observability/caller-events.js'
import type { Workload } from '../../../agent/workload-api/workload.js'
import { Workloads } from '../../../agent/workload-api/workloads.js'
import { FakeAttestor } from '../../fakes/attestor.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { FakeKernel, type FakeProcess, type ProcessTraits } from '../../fakes/kernel.js'
import { fixedRandom } from '../../fakes/random.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { workloadContext } from '../../fakes/workload.js'

function setting() {
  const kernel = new FakeKernel()
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const unix = new FakeAttestor('unix')
  const docker = new FakeAttestor('docker')
  unix.selectors = { 'unix:uid': '1000' }
  const workloads = new Workloads(
    workloadContext({
      attestors: [unix, docker],
      kernel,
      clock,
      random: fixedRandom(1),
      events: callerEvents(sinks, clock),
    }),
  )
  const acquire = (process: FakeProcess) => workloads.acquire(callerOf(kernel.peer(process)))
  const attested = async (traits: ProcessTraits = {}) => {
    const process = kernel.spawn(traits)
    const workload = acquire(process)
    await settle()
    return { process, workload }
  }
  return { kernel, clock, sinks, unix, docker, workloads, acquire, attested }
}

const selectorsOf = (workload: Workload) =>
  workload.state.kind === 'attested' ? Object.fromEntries(workload.state.selectors) : workload.state.kind

describe('a workload', () => {
  it('is pending, then attested, and says so once', async () => {
    const s = setting()
    const workload = s.acquire(s.kernel.spawn())
    let told = 0
    using _ = workload.subscribe(() => told++)
    expect(workload.state).toEqual({ kind: 'pending', since: 0 })
    await settle()
    expect(selectorsOf(workload)).toEqual({ 'unix:uid': '1000' })
    expect(told).toBe(1)
    expect(workload.check()).toBeNull()
    expect(s.sinks.total('icp_agent_attestations_total', { outcome: 'complete' })).toBe(1)
  })

  it('that is moved to another control group while it is attested is attested again, and nothing counts before', async () => {
    const s = setting()
    const groups = ['0::/a\n', '0::/b\n']
    const files = {
      get cgroup() {
        return groups.length > 1 ? (groups.shift() ?? '') : (groups[0] ?? '')
      },
    }
    const workload = s.acquire(s.kernel.spawn({ files }))
    await settle()
    expect(workload.state).toMatchObject({ kind: 'failed', error: { code: 'caller.unidentified' } })
    await s.clock.advance('1s')
    expect(selectorsOf(workload)).toEqual({ 'unix:uid': '1000' })
  })

  it('is one for all connections of a process, attested once, with one handle', async () => {
    const s = setting()
    const process = s.kernel.spawn()
    const first = s.acquire(process)
    const second = s.acquire(process)
    await settle()
    expect(second).toBe(first)
    expect(s.kernel.open.size).toBe(1)
    expect(s.unix.calls).toBe(1)
  })

  it('of a reused pid is another one and inherits nothing', async () => {
    const s = setting()
    s.unix.selectors = { 'unix:uid': '0' }
    const { process, workload } = await s.attested({ pid: 500 })
    process.exit()
    s.unix.selectors = { 'unix:uid': '1000' }
    s.unix.holds = true
    const heir = s.acquire(s.kernel.spawn({ pid: 500 }))
    expect(heir).not.toBe(workload)
    expect(heir.state.kind).toBe('pending')
    expect(workload.check()?.code).toBe('caller.exited')
  })

  it('of a pid that is reused before the exit was told is another one too', async () => {
    const s = setting()
    s.unix.selectors = { 'unix:sha256': 'trusted' }
    const { process, workload } = await s.attested({ pid: 500 })
    process.ended = true
    s.unix.selectors = { 'unix:sha256': 'evil' }
    const heir = s.acquire(s.kernel.spawn({ pid: 500 }))
    await settle()
    expect(heir).not.toBe(workload)
    expect(selectorsOf(heir)).toEqual({ 'unix:sha256': 'evil' })
    expect(workload.check()?.code).toBe('caller.exited')
  })

  it.each<[string, (process: FakeProcess) => void]>([
    ['runs another program by then', (p) => p.exec('/usr/bin/other')],
    ['dropped its privileges by then', (p) => Object.assign(p, { uid: 65534, gid: 65534 })],
    ['left a group by then', (p) => Object.assign(p, { groups: [] })],
  ])('is not shared with a later connection of the process that %s', async (_name, change) => {
    const s = setting()
    const process = s.kernel.spawn({ uid: 0, gid: 0, groups: [4] })
    const first = s.acquire(process)
    change(process)
    const second = s.acquire(process)
    await settle()
    expect(second).not.toBe(first)
    expect(second.state.kind).toBe('attested')
  })

  it('that execs during attestation gets nothing', async () => {
    const s = setting()
    const process = s.kernel.spawn()
    s.docker.meanwhile = () => process.exec('/usr/bin/trusted')
    const workload = s.acquire(process)
    await settle()
    expect(workload.state).toMatchObject({ kind: 'failed', error: { code: 'caller.executable_changed' } })
  })

  it('that changes its ids during attestation gets nothing', async () => {
    const s = setting()
    const process = s.kernel.spawn()
    s.docker.meanwhile = () => {
      process.statusIds = { uids: [1000, 0, 0, 0] }
    }
    const workload = s.acquire(process)
    await settle()
    expect(workload.state).toMatchObject({ kind: 'failed', error: { code: 'caller.ids_changed' } })
    expect(s.sinks.total('icp_agent_attestations_total', { outcome: 'caller.ids_changed' })).toBe(1)
  })

  it('that execs and comes back is looked at anew when it connects again', async () => {
    const s = setting()
    const { process, workload } = await s.attested()
    process.exec('/usr/bin/other')
    workload.reattest()
    await settle()
    expect(workload.state.kind).toBe('failed')
    process.exec('/usr/bin/app')
    expect(s.acquire(process)).toBe(workload)
    await settle()
    expect(workload.state.kind).toBe('attested')
  })
})

describe('the end of a process', () => {
  it('is told to who watches, and its handle is disposed at once, exactly once', async () => {
    const s = setting()
    const { process, workload } = await s.attested()
    const [handle] = s.kernel.open
    let told = 0
    using _ = workload.subscribe(() => told++)
    process.exit()
    expect(workload.ended).toBe(true)
    expect(handle?.disposed).toBe(1)
    await settle()
    expect(told).toBe(1)
    expect(workload.state).toMatchObject({ kind: 'failed', error: { code: 'caller.exited' } })
    expect(s.kernel.open.size).toBe(0)
    workload.release()
    expect(handle?.disposed).toBe(1)
    expect(s.clock.pending).toBe(0)
    expect(s.docker.watched.size).toBe(0)
  })

  it('that comes in the middle of an attestation leaves nothing behind', async () => {
    const s = setting()
    s.docker.holds = true
    s.docker.minds = false
    const process = s.kernel.spawn()
    const workload = s.acquire(process)
    await settle()
    process.exit()
    await s.clock.advance(100)
    s.docker.answer()
    await settle()
    expect(workload.state).toMatchObject({ kind: 'failed', error: { code: 'caller.exited' } })
    expect(s.kernel.open.size).toBe(0)
    expect(s.clock.pending).toBe(0)
  })

  it('is seen by a check before the notice comes', async () => {
    const s = setting()
    const { process, workload } = await s.attested()
    process.ended = true
    expect(workload.check()?.code).toBe('caller.exited')
    expect(workload.ended).toBe(true)
    expect(s.kernel.open.size).toBe(0)
  })
})

describe('attestation over time', () => {
  it('is done again when an attestor says that the subject changed', async () => {
    const s = setting()
    const { workload } = await s.attested()
    let told = 0
    using _ = workload.subscribe(() => told++)
    s.docker.selectors = { 'docker:label:app': 'web' }
    s.docker.change()
    await settle()
    expect(selectorsOf(workload)).toEqual({ 'unix:uid': '1000', 'docker:label:app': 'web' })
    expect(told).toBe(1)
  })

  it('that finds nothing new tells nobody and keeps the selectors object', async () => {
    const s = setting()
    const { workload } = await s.attested()
    const before = workload.state
    let told = 0
    using _ = workload.subscribe(() => told++)
    s.docker.change()
    await settle()
    expect(s.docker.calls).toBe(2)
    expect(told).toBe(0)
    expect(before.kind === 'attested' && workload.state.kind === 'attested' && workload.state.selectors).toBe(
      before.kind === 'attested' ? before.selectors : null,
    )
  })

  it('notices that come while one runs lead to one more, not to many', async () => {
    const s = setting()
    const { workload } = await s.attested()
    s.docker.holds = true
    s.docker.change()
    await settle()
    for (let i = 0; i < 10; i++) s.docker.change()
    s.docker.holds = false
    s.docker.answer()
    await settle()
    expect(s.docker.calls).toBe(3)
    expect(workload.state.kind).toBe('attested')
  })

  it('is tried again while something is unavailable, after 1 s, doubled up to 30 s', async () => {
    const s = setting()
    s.docker.unavailable = ['docker']
    const { workload } = await s.attested()
    const times: number[] = []
    s.docker.meanwhile = () => times.push(s.clock.monotonic())
    await s.clock.advance('2m')
    expect(times.slice(0, 6)).toEqual([1000, 3000, 7000, 15_000, 31_000, 61_000])
    s.docker.unavailable = []
    s.docker.selectors = { 'docker:image': 'web' }
    await s.clock.advance('30s')
    expect(selectorsOf(workload)).toEqual({ 'unix:uid': '1000', 'docker:image': 'web' })
    expect(s.clock.pending).toBe(0)
  })

  it('only what is known withdraws: selectors of an engine that is away are kept', async () => {
    const s = setting()
    s.docker.selectors = { 'docker:image': 'web' }
    const { workload } = await s.attested()
    s.docker.selectors = {}
    s.docker.unavailable = ['docker']
    let told = 0
    using _ = workload.subscribe(() => told++)
    workload.reattest()
    await settle()
    expect(workload.state).toMatchObject({ kind: 'attested', unavailable: ['docker'] })
    expect(selectorsOf(workload)).toEqual({ 'unix:uid': '1000', 'docker:image': 'web' })
    expect(told).toBe(1)
    s.docker.unavailable = []
    await s.clock.advance('1s')
    expect(selectorsOf(workload)).toEqual({ 'unix:uid': '1000' })
  })

  it('that failed altogether is tried again, whatever connects meanwhile', async () => {
    const s = setting()
    s.unix.fails = new Error('x')
    s.docker.fails = new Error('x')
    const { process, workload } = await s.attested()
    expect(workload.state).toMatchObject({ kind: 'failed', error: { code: 'attestation.failed' } })
    for (let i = 0; i < 5; i++) s.acquire(process)
    await settle()
    expect(s.unix.calls).toBe(1)
    s.unix.fails = null
    await s.clock.advance('1s')
    expect(workload.state.kind).toBe('attested')
  })

  it('that failed because the kernel could not be asked is tried again', async () => {
    const s = setting()
    const process = s.kernel.spawn()
    process.statusIds = { uids: [] }
    const workload = s.acquire(process)
    await settle()
    expect(workload.state).toMatchObject({ kind: 'failed', error: { code: 'caller.unidentified' } })
    process.statusIds = {}
    await s.clock.advance('1s')
    expect(workload.state.kind).toBe('attested')
  })

  it('a failed one keeps no selectors to grant on', async () => {
    const s = setting()
    const { process, workload } = await s.attested()
    process.statusIds = { uids: [1000, 0, 0, 0] }
    s.docker.change()
    await settle()
    expect(workload.state.kind).toBe('failed')
  })
})

describe('holding a workload', () => {
  it('it is kept for 30 s after the last holder and found again', async () => {
    const s = setting()
    const { process, workload } = await s.attested()
    workload.release()
    await s.clock.advance('29s')
    expect(s.acquire(process)).toBe(workload)
    expect(s.unix.calls).toBe(1)
    await s.clock.advance('1h')
    expect(s.kernel.open.size).toBe(1)
    workload.release()
    await s.clock.advance('30s')
    expect(s.kernel.open.size).toBe(0)
    expect(process.watchers).toBe(0)
    expect(s.clock.pending).toBe(0)
  })

  it('it lives until the last of its holders lets go', async () => {
    const s = setting()
    const { process, workload } = await s.attested()
    s.acquire(process)
    workload.release()
    await s.clock.advance('1h')
    expect(workload.check()).toBeNull()
    workload.release()
    await s.clock.advance('30s')
    expect(s.kernel.open.size).toBe(0)
  })

  it('one release too many is a defect of ours', async () => {
    const s = setting()
    const { workload } = await s.attested()
    workload.release()
    expect(() => workload.release()).toThrow(TypeError)
  })

  it('no more than 1,024 linger', async () => {
    const s = setting()
    for (let i = 0; i < 1100; i++) s.acquire(s.kernel.spawn()).release()
    expect(s.kernel.open.size).toBe(1024)
    await s.clock.advance('30s')
    expect(s.kernel.open.size).toBe(0)
    expect(s.clock.pending).toBe(0)
  })

  it('the end of the agent lets go of all', async () => {
    const s = setting()
    const { workload } = await s.attested()
    s.docker.unavailable = ['docker']
    await s.attested()
    s.workloads[Symbol.dispose]()
    expect(s.kernel.open.size).toBe(0)
    expect(s.clock.pending).toBe(0)
    expect(workload.check()?.code).toBe('caller.exited')
  })
})

describe('selectors that are wanted later', () => {
  it('are unavailable at once, until the workload was attested again', async () => {
    const s = setting()
    const { workload } = await s.attested()
    s.unix.selectors = { 'unix:uid': '1000', 'unix:sha256': 'abc' }
    let told = 0
    using _ = workload.subscribe(() => told++)
    s.workloads.lookAgain('unix')
    expect(workload.state).toMatchObject({ kind: 'attested', unavailable: ['unix'] })
    expect(selectorsOf(workload)).toEqual({ 'unix:uid': '1000' })
    await settle()
    expect(workload.state).toMatchObject({ kind: 'attested', unavailable: [] })
    expect(selectorsOf(workload)).toEqual({ 'unix:uid': '1000', 'unix:sha256': 'abc' })
    expect(told).toBeGreaterThan(0)
    expect(s.clock.pending).toBe(0)
  })

  it('stay unavailable where an attestation ends that began before they were wanted', async () => {
    const s = setting()
    const unavailable: (readonly string[])[] = []
    s.docker.meanwhile = () => {
      s.docker.meanwhile = () => undefined
      s.workloads.lookAgain('unix')
    }
    const workload = s.acquire(s.kernel.spawn())
    using _ = workload.subscribe(() => {
      if (workload.state.kind === 'attested') unavailable.push(workload.state.unavailable)
    })
    await settle()
    expect(unavailable).toEqual([['unix'], []])
    expect(s.unix.calls).toBe(2)
  })

  it('are nothing to a workload whose process has ended', async () => {
    const s = setting()
    const { process, workload } = await s.attested()
    process.exit()
    s.workloads.lookAgain('unix')
    await settle()
    expect(workload.state).toMatchObject({ kind: 'failed', error: { code: 'caller.exited' } })
    expect(s.unix.calls).toBe(1)
  })
})
