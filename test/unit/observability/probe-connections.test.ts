import { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { ProbeConnections } from '../../../agent/observability/probe-connections.js'

const LIMITS = { perAddress: 3, network: 6, loopback: 4 }

function setUp() {
  const connections = new ProbeConnections(LIMITS)
  const gone: string[] = []
  const from = (remoteAddress: string, name: string) => {
    const socket = new Socket()
    Object.defineProperty(socket, 'remoteAddress', { value: remoteAddress })
    socket.resetAndDestroy = () => {
      gone.push(name)
      return socket.destroy()
    }
    connections.admit(socket)
    return socket
  }
  return { connections, gone, from }
}

describe('connections to the health port', () => {
  test('of one address make room for its next one, the longest silent first', () => {
    const { from, gone } = setUp()
    for (let i = 0; i < 6; i++) from('10.0.0.1', `${i}`)
    expect(gone).toEqual(['0', '1', '2'])
  })

  test('of one address cost no other address anything', () => {
    const { from, gone } = setUp()
    from('10.0.0.9', 'probe')
    for (let i = 0; i < 20; i++) from('10.0.0.1', `${i}`)
    expect(gone).not.toContain('probe')
    expect(gone).toHaveLength(17)
  })

  test('of many addresses take from whoever has most', () => {
    const { from, gone } = setUp()
    for (const name of ['a', 'b', 'c']) from('10.0.0.1', name)
    for (const name of ['d', 'e']) from('10.0.0.2', name)
    from('10.0.0.3', 'probe')
    from('10.0.0.4', 'g')
    expect(gone).toEqual(['a'])
  })

  test('of the network leave this machine its share, and the other way round', () => {
    const { from, gone } = setUp()
    from('127.0.0.1', 'own')
    for (let i = 0; i < 40; i++) from(`10.0.0.${i}`, `${i}`)
    expect(gone).not.toContain('own')
    from('10.0.1.1', 'scraper')
    gone.length = 0
    for (let i = 0; i < 40; i++) from(`127.0.0.${i}`, `local ${i}`)
    expect(gone).not.toContain('scraper')
    expect(gone).toHaveLength(37)
  })

  test('from one IPv6 network are those of one host, and an IPv4 address is itself in both forms', () => {
    const { from, gone } = setUp()
    for (const last of ['1', '2:3', 'ffff:1:2:3', '4'])
      from(`2001:db8:0:7:${last.includes(':') ? '' : ':'}${last}`, last)
    expect(gone).toEqual(['1'])
    for (const name of ['a', 'b', 'c']) from('10.0.0.1', name)
    from('::ffff:10.0.0.1', 'd')
    expect(gone).toEqual(['1', 'a'])
  })

  test('that were asked something outlive the silent ones, and are silent again once answered', () => {
    const { from, gone, connections } = setUp()
    const first = from('10.0.0.1', 'first')
    connections.asks(first)
    from('10.0.0.1', 'second')
    from('10.0.0.1', 'third')
    from('10.0.0.1', 'fourth')
    expect(gone).toEqual(['second'])
    connections.answered(first)
    from('10.0.0.1', 'fifth')
    from('10.0.0.1', 'sixth')
    from('10.0.0.1', 'seventh')
    expect(gone).toEqual(['second', 'third', 'fourth', 'first'])
  })

  test('whose answers nobody reads go where no other is silent', () => {
    const { from, gone, connections } = setUp()
    for (const name of ['a', 'b', 'c']) connections.asks(from('10.0.0.1', name))
    from('10.0.0.1', 'd')
    expect(gone).toEqual(['a'])
  })

  test('that have ended count no more', () => {
    const { from, gone } = setUp()
    for (let i = 0; i < 30; i++) from('10.0.0.1', `${i}`).emit('close')
    expect(gone).toEqual([])
  })
})
