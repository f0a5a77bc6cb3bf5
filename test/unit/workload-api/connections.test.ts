import { describe, expect, it } from 'vitest'
import type { Caller } from '../../../agent/attestation/caller.js'
import { AgentError } from '../../../agent/errors.js'
import type { CloseReason, Connection, Quota } from '../../../agent/workload-api/connection.js'
import { type ConnectionLimits, unidentifiedQuota } from '../../../agent/workload-api/connections.js'
import type { ResponseStream } from '../../../agent/workload-api/stream.js'
import { FakeClock } from '../../fakes/clock.js'
import { connectionOf, registryWith } from '../../fakes/connections.js'
import { entryOf, snapshotOf } from '../../fakes/identities.js'
import { FakeWorkload, workloadContext } from '../../fakes/workload.js'

const NOBODY = { error: new AgentError('caller.unidentified', 'nobody') }

function setting(limits: Partial<ConnectionLimits> = {}) {
  const clock = new FakeClock()
  const workloads = new Map<number, FakeWorkload>()
  const connections = registryWith(
    clock,
    ({ pid }) => {
      const workload = workloads.get(pid) ?? new FakeWorkload({ pid })
      workloads.set(pid, workload)
      workload.hold()
      return workload
    },
    { connections: 100, connectionsPerSubject: 50, connectionsPerPid: 20, idleConnectionMs: 10_000, ...limits },
  )
  const closed: [string, CloseReason][] = []
  let last = 0
  const open = (caller: Caller | { readonly error: AgentError }, quota: Quota = { subject: 'uid:1', pid: 7 }) => {
    const id = `c${++last}`
    const onClose = (reason: CloseReason) => {
      closed.push([id, reason])
      gone(connection)
    }
    const connection: Connection = connectionOf(id, caller, { quota, onClose })
    connections.add(connection)
    return connection
  }
  const add = (quota?: Quota) => open(NOBODY, quota)
  const callerWith = (pid: number) => new FakeWorkload({ pid }).caller
  return { clock, connections, workloads, closed, add, open, callerWith }
}

/** The socket has closed. */
function gone({ socket }: Connection): void {
  socket.emit('close')
}

describe('the caller of a connection', () => {
  it('has one workload for two connections, and another caller has another', () => {
    const { open, callerWith } = setting()
    const [one, two, other] = [open(callerWith(7)), open(callerWith(7)), open(callerWith(8))]
    expect(one.workload).not.toBeNull()
    expect(two.workload).toBe(one.workload)
    expect(other.workload).not.toBe(one.workload)
  })

  it('gives back each acquisition once', () => {
    const { connections, open, callerWith, workloads } = setting()
    const [one, two] = [open(callerWith(7)), open(callerWith(7))]
    expect(workloads.get(7)?.holders).toBe(2)
    gone(one)
    gone(one)
    expect(workloads.get(7)?.holders).toBe(1)
    gone(two)
    expect(workloads.get(7)?.holders).toBe(0)
    expect([connections.of('c1'), connections.of('c2')]).toEqual([undefined, undefined])
  })

  it('that is nobody is remembered with the reason, and acquires nothing', () => {
    const { connections, open, workloads } = setting()
    const error = new AgentError('caller.foreign_pid_namespace', 'run the agent with hostPID')
    const connection = open({ error })
    expect(connections.of('c1')).toMatchObject({ caller: { error }, workload: null })
    gone(connection)
    expect(workloads.size).toBe(0)
  })

  it('is found by the name of its connection and by no other', () => {
    const { connections, open, callerWith } = setting()
    open(callerWith(7))
    expect([connections.of('c10'), connections.of('unknown'), connections.of('')]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })

  it('leaves nothing where its workload cannot be had', () => {
    const connections = registryWith(new FakeClock(), () => {
      throw new TypeError('a defect')
    })
    const connection = connectionOf('c1', new FakeWorkload().caller)
    expect(() => connections.add(connection)).toThrow('a defect')
    expect([connections.of('c1'), connections.size]).toEqual([undefined, 0])
    expect(() => gone(connection)).not.toThrow()
  })

  it('that is gone already leaves nothing either', async () => {
    const { connections, callerWith, workloads } = setting()
    const connection = connectionOf('c1', callerWith(7))
    const closed = new Promise((resolve) => connection.socket.once('close', resolve))
    connection.socket.destroy()
    await closed
    connections.add(connection)
    expect([connections.of('c1'), connections.size, workloads.get(7)?.holders]).toEqual([undefined, 0, 0])
  })
})

describe('the end', () => {
  it('closes all that is open, and says when nobody is left', async () => {
    const { connections, open, callerWith, closed } = setting()
    open(callerWith(7))
    open(callerWith(7))
    const emptied = connections.emptied()
    connections.closeAll('stopping')
    await emptied
    expect(closed).toEqual([
      ['c1', 'stopping'],
      ['c2', 'stopping'],
    ])
    expect([connections.of('c1'), connections.of('c2')]).toEqual([undefined, undefined])
    await connections.emptied()
  })

  it('takes nobody any more, and leaves what is open', () => {
    const { connections, add } = setting()
    add()
    connections.stop()
    expect(connections.excess({ subject: 'b', pid: 8 })).toBe('stopping')
    expect(connections.size).toBe(1)
  })
})

describe('limits on connections', () => {
  it.each<[string, Parameters<typeof setting>[0], Quota, Quota, CloseReason | null]>([
    ['one process', { connectionsPerPid: 2 }, { subject: 'a', pid: 1 }, { subject: 'a', pid: 1 }, 'limit_pid'],
    ['another process', { connectionsPerPid: 2 }, { subject: 'a', pid: 1 }, { subject: 'a', pid: 2 }, null],
    ['one subject', { connectionsPerSubject: 2 }, { subject: 'a', pid: 1 }, { subject: 'a', pid: 2 }, 'limit_subject'],
    ['another subject', { connectionsPerSubject: 2 }, { subject: 'a', pid: 1 }, { subject: 'b', pid: 2 }, null],
    ['all together', { connections: 2 }, { subject: 'a', pid: 1 }, { subject: 'b', pid: 2 }, 'limit_total'],
    ['an unknown one too', { connections: 2 }, { subject: 'a', pid: 1 }, unidentifiedQuota, 'limit_total'],
  ])('the third connection of %s', (_name, limits, held, wanted, expected) => {
    const { connections, add } = setting(limits)
    add(held)
    add(held)
    expect(connections.excess(wanted)).toBe(expected)
  })

  it('unknown callers have 64 connections together, whatever the other limits', () => {
    const { connections, add } = setting({ connectionsPerSubject: 2, connections: 1000 })
    for (let i = 0; i < 64; i++) {
      expect(connections.excess(unidentifiedQuota)).toBeNull()
      add(unidentifiedQuota)
    }
    expect(connections.excess(unidentifiedQuota)).toBe('limit_unidentified')
    expect(connections.excess({ subject: 'a', pid: 1 })).toBeNull()
  })

  it('a closed connection makes room and leaves nothing behind', () => {
    const { connections, add } = setting({ connectionsPerPid: 1 })
    const connection = add()
    expect(connections.excess({ subject: 'uid:1', pid: 7 })).toBe('limit_pid')
    gone(connection)
    gone(connection)
    expect(connections.excess({ subject: 'uid:1', pid: 7 })).toBeNull()
    expect(connections.size).toBe(0)
  })
})

describe('idle connections', () => {
  it('one on which nothing is ever called is closed', async () => {
    const { clock, closed, add } = setting()
    const connection = add()
    await clock.advance('9999ms')
    expect(closed).toEqual([])
    await clock.advance('1ms')
    expect(closed).toEqual([[connection.id, 'idle']])
    expect(clock.pending).toBe(0)
  })

  it('an open call keeps it for as long as it lasts, and the time begins anew afterwards', async () => {
    const { clock, connections, closed, add } = setting()
    const connection = add()
    connections.callStarted(connection)
    connections.callStarted(connection)
    await clock.advance('1h')
    connections.callEnded(connection)
    await clock.advance('1h')
    expect(closed).toEqual([])
    connections.callEnded(connection)
    await clock.advance('9s')
    expect(closed).toEqual([])
    await clock.advance('1s')
    expect(closed).toEqual([[connection.id, 'idle']])
  })

  it('each has its own time', async () => {
    const { clock, connections, closed, add } = setting()
    const first = add()
    await clock.advance('4s')
    const second = add()
    await clock.advance('4s')
    connections.callStarted(first)
    connections.callEnded(first)
    await clock.advance('6s')
    expect(closed).toEqual([[second.id, 'idle']])
    await clock.advance('4s')
    expect(closed.map(([id]) => id)).toEqual([second.id, first.id])
  })

  it('one timer serves them all and none is left when they are gone', async () => {
    const { clock, closed, add } = setting()
    const all = Array.from({ length: 50 }, () => add({ subject: 'x', pid: null }))
    expect(clock.pending).toBe(1)
    for (const one of all) gone(one)
    expect(clock.pending).toBe(0)
    await clock.advance('1h')
    expect(closed).toEqual([])
  })

  it('a call that ends twice is a defect of ours, and one that ends after its connection is none', () => {
    const { clock, connections, add } = setting()
    const connection = add()
    expect(() => connections.callEnded(connection)).toThrow(TypeError)
    gone(connection)
    connections.callStarted(connection)
    connections.callEnded(connection)
    expect(clock.pending).toBe(0)
  })
})

describe('the listing of workloads', () => {
  it('has what is known of each that is connected, and changes nothing', () => {
    const mine = { 'unix:uid': '1000', 'unix:path': '/usr/bin/web' }
    const context = workloadContext()
    const { store, demand, clock } = context
    const entry = entryOf('a', { selectors: { 'unix:uid': '1000' } })
    store.publish(snapshotOf([entry]), { entries: 'all', bundles: true })
    const workload = FakeWorkload.attested(mine, ['docker'], context)
    const connections = registryWith(clock, () => workload)
    const { caller } = workload
    for (const id of ['c1', 'c2']) connections.add(connectionOf(id, caller))
    connections.add(connectionOf('c3', NOBODY))
    const { id } = workload.denial({ code: 'entry.none', message: 'none' })
    const stream = { kind: { dialect: 'spiffe', method: 'FetchX509SVID' }, since: 7 } as Partial<ResponseStream>
    connections.of('c2')?.streams.add(stream as ResponseStream)
    expect(connections.workloads()).toMatchObject([
      {
        ...{ pid: caller.pid, uid: caller.uid, gid: caller.gid, program: '/usr/bin/web' },
        state: { kind: 'attested', unavailable: ['docker'] },
        entries: [{ id: 'a', spiffeId: { uri: entry.spiffeId.uri } }],
        denial: { id, code: 'entry.none', since: clock.now() },
        connections: [
          { id: 'c1', calls: 0, streams: [] },
          { id: 'c2', calls: 0, streams: [{ dialect: 'spiffe', method: 'FetchX509SVID', since: 7 }] },
        ],
      },
    ])
    expect([[...demand.ids()], workload.checks, workload.reattested]).toEqual([[], 0, 0])
  })
})
