import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../support/until.js'
import { ApiWorld, AUTHSEC, HEADER, SPIFFE } from './api-world.js'

let world: ApiWorld
beforeEach(async () => {
  world = await ApiWorld.listen()
})
afterEach(() => world[Symbol.asyncDispose]())

/** A bare HTTP/2 client that writes down what comes, in order. */
class Bare {
  readonly heard: string[] = []
  readonly session: ClientHttp2Session

  constructor(settings = {}) {
    this.session = connectHttp2('http://localhost', { createConnection: () => connect(world.path), settings })
    this.session.on('goaway', (code) => this.heard.push(`goaway ${code}`))
    this.session.on('close', () => this.heard.push('closed'))
    this.session.on('error', () => this.session.destroy())
  }

  call(path: string, headers: Readonly<Record<string, string>> = {}): ClientHttp2Stream {
    const stream = this.session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    })
    stream.on('data', () => this.heard.push('message'))
    stream.on('trailers', (trailers) => this.heard.push(`status ${trailers['grpc-status']}`))
    stream.on('response', (found) => found['grpc-status'] && this.heard.push(`status ${found['grpc-status']}`))
    stream.on('error', () => stream.destroy())
    stream.end(Buffer.alloc(5))
    return stream
  }
}

describe('a stop', () => {
  it('ends every stream with Unavailable, live or held, in both dialects, and then says GOAWAY', async () => {
    world.show({ a: '01' })
    const [live, held, sdk] = [new Bare(), new Bare(), new Bare()]
    live.call(`${SPIFFE}/FetchX509SVID`, HEADER)
    await until(() => live.heard.includes('message'))
    world.show({ a: null })
    held.call(`${SPIFFE}/FetchX509SVID`, HEADER)
    sdk.call(`${AUTHSEC}/FetchX509Bundles`)
    await until(() => world.streams.size === 3 && sdk.heard.includes('message'))
    await world.grpc.stop()
    for (const { heard } of [live, held, sdk]) {
      await until(() => heard.includes('closed'))
      const said = [...new Set(heard)].filter((what) => what !== 'message')
      expect(said).toEqual(['status 14', 'goaway 0', 'closed'])
    }
    expect([world.streams.size, world.callsRunning, world.clock.pending]).toEqual([0, 0, 0])
  })

  it('does not wait for connections on which nothing runs, nor for those that never said a word', async () => {
    const idle = new Bare()
    await until(() => world.connections.size === 1)
    const silent = await world.connect()
    silent.resume()
    await until(() => world.connections.size === 2)
    await world.grpc.stop()
    await until(() => idle.heard.includes('closed') && world.connections.size === 0)
    expect(world.closed).toEqual([])
  })

  it('cuts off who does not go within the grace: a health watch, a reader who reads nothing', async () => {
    world.show({ a: '01' })
    const [watching, frozen] = [new Bare(), new Bare({ initialWindowSize: 0 })]
    watching.call('/grpc.health.v1.Health/Watch')
    await until(() => watching.heard.includes('message'))
    frozen.call(`${SPIFFE}/FetchX509SVID`, HEADER)
    await until(() => world.streams.size === 1)
    let stopped = false
    const stop = world.grpc.stop().then(() => {
      stopped = true
    })
    await until(() => watching.heard.includes('goaway 0'))
    expect(stopped).toBe(false)
    await world.clock.advance('1s')
    await stop
    expect(world.closed).toEqual(['stopping', 'stopping'])
    await until(() => world.connections.size === 0 && world.streams.size === 0)
    expect([world.callsRunning, world.clock.pending, world.workload.holders]).toEqual([0, 0, 0])
  })

  it('takes nobody new in', async () => {
    await world.grpc.stop()
    const late = await world.connect()
    late.resume()
    await until(() => late.closed)
    expect([world.closed, world.connections.size, world.workload.holders]).toEqual([['stopping'], 0, 0])
  })

  it('answers a call that was on its way with Unavailable', async () => {
    world.show({ a: '01' })
    const client = new Bare()
    client.call('/grpc.health.v1.Health/Watch')
    await until(() => client.heard.includes('message'))
    world.streams.stop()
    client.call(`${SPIFFE}/FetchX509SVID`, HEADER)
    await until(() => client.heard.includes('status 14'))
  })
})
