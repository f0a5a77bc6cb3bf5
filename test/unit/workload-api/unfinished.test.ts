import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { UnfinishedMessages } from '../../../agent/workload-api/unfinished.js'
import { FakeClock } from '../../fakes/clock.js'

/** A message as it is on the wire. */
function wire(length: number): Buffer {
  const bytes = Buffer.alloc(5 + length)
  bytes.writeUInt32BE(length, 1)
  return bytes
}

function setting(limits = { subjectBytes: 10_000, allBytes: 15_000 }) {
  const clock = new FakeClock()
  const unfinished = new UnfinishedMessages(clock, limits)
  const ended: string[] = []
  const call = (name: string, subject = 'uid:1') => {
    const stream = new EventEmitter()
    unfinished.watch(stream, subject, () => {
      ended.push(name)
      stream.emit('close')
    })
    return { send: (part: Buffer) => void stream.emit('data', part), close: () => void stream.emit('close') }
  }
  return { clock, unfinished, ended, call }
}

describe('messages that are not whole', () => {
  it('count while they are not whole, and no longer', () => {
    const { unfinished, call, clock } = setting()
    const { send } = call('a')
    const message = wire(1_000)
    send(message.subarray(0, 3))
    expect(unfinished.bytes).toBe(3 + 256)
    send(message.subarray(3, 600))
    expect(unfinished.bytes).toBe(600 + 2 * 256)
    send(message.subarray(600))
    expect(unfinished.bytes).toBe(0)
    expect(clock.pending).toBe(0)
  })

  it('may come several in one part, empty ones among them', () => {
    const { unfinished, call } = setting()
    const { send } = call('a')
    send(Buffer.concat([wire(0), wire(10), wire(0), wire(100).subarray(0, 50)]))
    expect(unfinished.bytes).toBe(50 + 256)
    send(Buffer.concat([wire(100).subarray(50), wire(7)]))
    expect(unfinished.bytes).toBe(0)
  })

  it('end the call that takes its subject above the limit, and no other', () => {
    const { unfinished, ended, call } = setting()
    const [a, b, other] = [call('a'), call('b'), call('c', 'uid:2')]
    a.send(wire(1_000_000).subarray(0, 5_000))
    other.send(wire(1_000_000).subarray(0, 1_000))
    b.send(wire(1_000_000).subarray(0, 5_000))
    expect(ended).toEqual(['b'])
    expect(unfinished.bytes).toBe(6_000 + 2 * 256)
    b.send(Buffer.alloc(100_000))
    expect(ended).toEqual(['b'])
  })

  it('of all subjects together have a limit, too', () => {
    const { ended, call } = setting()
    for (const uid of [1, 2]) call(`${uid}`, `uid:${uid}`).send(wire(1_000_000).subarray(0, 9_000))
    expect(ended).toEqual(['2'])
  })

  it('cost more than their bytes in many small parts', () => {
    const { ended, call } = setting()
    const { send } = call('a')
    send(wire(1_000_000).subarray(0, 5))
    for (let i = 0; i < 50; i++) send(Buffer.alloc(1))
    expect(ended).toEqual(['a'])
  })

  it('have half a minute to become whole', async () => {
    const { clock, ended, call } = setting()
    const [slow, fast] = [call('slow'), call('fast')]
    slow.send(wire(100).subarray(0, 50))
    await clock.advance('20s')
    fast.send(wire(100).subarray(0, 50))
    await clock.advance('10s')
    expect(ended).toEqual(['slow'])
    fast.send(wire(100).subarray(50))
    await clock.advance('1h')
    expect(ended).toEqual(['slow'])
  })

  it('leave nothing behind when their call ends', () => {
    const { unfinished, call, clock } = setting()
    const { send, close } = call('a')
    send(wire(100).subarray(0, 50))
    close()
    send(Buffer.alloc(50))
    expect(unfinished.bytes).toBe(0)
    expect(clock.pending).toBe(0)
  })
})
