import { describe, expect, it } from 'vitest'
import type { Caller } from '../../../agent/attestation/caller.js'
import { AgentError } from '../../../agent/errors.js'
import { apiEvents } from '../../../agent/observability/api-events.js'
import { Demand } from '../../../agent/svids/demand.js'
import { IdentityStore } from '../../../agent/svids/store.js'
import { Sessions } from '../../../agent/workload-api/sessions.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { FakeWorkload } from '../../fakes/workload.js'

function setting() {
  const workloads = new Map<number, FakeWorkload>()
  const sessions = new Sessions(
    (caller: Caller) => {
      const workload = workloads.get(caller.pid) ?? new FakeWorkload({ pid: caller.pid })
      workloads.set(caller.pid, workload)
      workload.holders++
      return workload
    },
    {
      store: new IdentityStore(),
      demand: new Demand(new FakeClock()),
      maxIdentities: 64,
      events: apiEvents(new RecordedSinks(), new FakeClock()),
    },
  )
  const callerWith = (pid: number) => new FakeWorkload({ pid }).caller
  const feedOf = (id: string) => {
    const session = sessions.of(id)
    return session?.kind === 'known' ? session.feed : null
  }
  return { sessions, workloads, callerWith, feedOf }
}

const nothing = () => undefined

describe('Sessions', () => {
  it('gives two connections of one process one feed, and two processes two', () => {
    const { sessions, callerWith, feedOf } = setting()
    sessions.opened('c1', callerWith(7), nothing)
    sessions.opened('c2', callerWith(7), nothing)
    sessions.opened('c3', callerWith(8), nothing)
    expect(feedOf('c1')).not.toBeNull()
    expect(feedOf('c1')).toBe(feedOf('c2'))
    expect(feedOf('c3')).not.toBe(feedOf('c1'))
  })

  it('gives back each acquisition once', () => {
    const { sessions, callerWith, workloads } = setting()
    sessions.opened('c1', callerWith(7), nothing)
    sessions.opened('c2', callerWith(7), nothing)
    expect(workloads.get(7)?.holders).toBe(2)
    sessions.closed('c1')
    sessions.closed('c1')
    expect(workloads.get(7)?.holders).toBe(1)
    sessions.closed('c2')
    expect(workloads.get(7)?.holders).toBe(0)
    expect([sessions.of('c1'), sessions.of('c2')]).toEqual([undefined, undefined])
  })

  it('remembers why a caller is nobody, and acquires nothing for it', () => {
    const { sessions, workloads } = setting()
    const error = new AgentError('caller.foreign_pid_namespace', 'run the agent with hostPID')
    sessions.opened('c1', { error }, nothing)
    expect(sessions.of('c1')).toMatchObject({ kind: 'unknown', error })
    sessions.closed('c1')
    expect(workloads.size).toBe(0)
  })

  it('knows nobody by another name', () => {
    const { sessions, callerWith } = setting()
    sessions.opened('c1', callerWith(7), nothing)
    expect([sessions.of('c10'), sessions.of('unknown'), sessions.of('')]).toEqual([undefined, undefined, undefined])
  })

  it('keeps no session where acquiring fails', () => {
    const failing = new Sessions(
      () => {
        throw new TypeError('a defect')
      },
      {
        store: new IdentityStore(),
        demand: new Demand(new FakeClock()),
        maxIdentities: 64,
        events: apiEvents(new RecordedSinks(), new FakeClock()),
      },
    )
    expect(() => failing.opened('c1', new FakeWorkload().caller, nothing)).toThrow('a defect')
    expect(failing.of('c1')).toBeUndefined()
    expect(() => failing.closed('c1')).not.toThrow()
  })

  it('closes all that is open, and says when nobody is left', async () => {
    const { sessions, callerWith } = setting()
    const closed: string[] = []
    for (const id of ['c1', 'c2']) {
      sessions.opened(id, callerWith(7), (reason) => {
        closed.push(`${id} ${reason}`)
        sessions.closed(id)
      })
    }
    const emptied = sessions.emptied()
    sessions.closeAll('stopping')
    await emptied
    expect(closed).toEqual(['c1 stopping', 'c2 stopping'])
    expect([sessions.of('c1'), sessions.of('c2')]).toEqual([undefined, undefined])
    await sessions.emptied()
  })
})
