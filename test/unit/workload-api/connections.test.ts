import { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import type { CloseReason, Connection } from '../../../agent/workload-api/connection.js'
import { Connections, type Quota, unidentifiedQuota } from '../../../agent/workload-api/connections.js'
import { FakeClock } from '../../fakes/clock.js'
import { accountOf, fairnessWith } from '../../fakes/fairness.js'

function setting(limits: Partial<ConstructorParameters<typeof Connections>[0]> = {}) {
  const clock = new FakeClock()
  const connections = new Connections(
    { connections: 100, connectionsPerSubject: 50, connectionsPerPid: 20, idleConnectionMs: 10_000, ...limits },
    clock,
  )
  const fairness = fairnessWith(clock)
  const closed: [string, CloseReason][] = []
  let last = 0
  const add = (quota: Quota = { subject: 'uid:1', pid: 7 }): string => {
    const id = `c${++last}`
    const connection: Connection = {
      id,
      caller: { error: new AgentError('caller.unidentified', 'nobody') },
      ...accountOf(fairness),
      socket: new Socket(),
      close: (reason) => {
        closed.push([id, reason])
        connections.remove(id)
      },
    }
    connections.add(connection, quota)
    return id
  }
  return { clock, connections, closed, add }
}

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
    const id = add()
    expect(connections.excess({ subject: 'uid:1', pid: 7 })).toBe('limit_pid')
    connections.remove(id)
    connections.remove(id)
    expect(connections.excess({ subject: 'uid:1', pid: 7 })).toBeNull()
    expect(connections.size).toBe(0)
  })
})

describe('idle connections', () => {
  it('one on which nothing is ever called is closed', async () => {
    const { clock, closed, add } = setting()
    const id = add()
    await clock.advance('9999ms')
    expect(closed).toEqual([])
    await clock.advance('1ms')
    expect(closed).toEqual([[id, 'idle']])
    expect(clock.pending).toBe(0)
  })

  it('an open call keeps it for as long as it lasts, and the time begins anew afterwards', async () => {
    const { clock, connections, closed, add } = setting()
    const id = add()
    connections.callStarted(id)
    connections.callStarted(id)
    await clock.advance('1h')
    connections.callEnded(id)
    await clock.advance('1h')
    expect(closed).toEqual([])
    connections.callEnded(id)
    await clock.advance('9s')
    expect(closed).toEqual([])
    await clock.advance('1s')
    expect(closed).toEqual([[id, 'idle']])
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
    expect(closed).toEqual([[second, 'idle']])
    await clock.advance('4s')
    expect(closed.map(([id]) => id)).toEqual([second, first])
  })

  it('one timer serves them all and none is left when they are gone', async () => {
    const { clock, connections, closed, add } = setting()
    const ids = Array.from({ length: 50 }, () => add({ subject: 'x', pid: null }))
    expect(clock.pending).toBe(1)
    for (const id of ids) connections.remove(id)
    expect(clock.pending).toBe(0)
    await clock.advance('1h')
    expect(closed).toEqual([])
  })

  it('a call that ends twice is a defect of ours', () => {
    const { connections, add } = setting()
    const id = add()
    expect(() => connections.callEnded(id)).toThrow(TypeError)
    connections.callEnded('c99')
  })
})
