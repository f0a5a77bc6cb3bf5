import { getEventListeners } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createHttpClient } from '../../agent/platform/undici-http.js'
import { EngineApi, type EngineEvent, isAbsent } from '../../attestors/docker/engine-api.js'
import { temporaryDirectory } from '../support/agent.js'

const ID = 'a5'.repeat(32)
/** For what answers: longer than any test may take. */
const PATIENT_MS = 600_000
const never = () => new AbortController().signal
const INSPECTED = {
  Id: ID,
  Name: '/web-1',
  Image: `sha256:${'c7'.repeat(32)}`,
  Config: { Image: 'web:1', Labels: { app: 'web' } },
  State: { Running: true, Pid: 4711, Status: 'running', StartedAt: '2026-01-01T00:00:00Z' },
}

/** An HTTP server on a Unix socket of its own, and the client that talks to it. */
async function engine(listener: RequestListener, directory: string) {
  const socketPath = join(directory, 'engine.sock')
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${decodeURIComponent(request.url ?? '')}`)
    listener(request, response)
  })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  const http = createHttpClient({ roots: () => [] })
  return {
    api: new EngineApi({ http, socketPath }),
    asked,
    close: () => server.closeAllConnections(),
    [Symbol.asyncDispose]: async () => {
      await http[Symbol.asyncDispose]()
      server.closeAllConnections()
      await new Promise<unknown>((resolve) => server.close(resolve))
    },
  }
}

const json =
  (body: unknown, status = 200): RequestListener =>
  (_request, response) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))

describe('the API of an engine, over its socket', () => {
  it('describes a container, by the whole id or its beginning', async () => {
    await using dir = await temporaryDirectory()
    await using one = await engine(json(INSPECTED), dir.path)
    const whole = await one.api.inspect(ID, PATIENT_MS, never())
    expect(whole).toMatchObject({ id: ID, name: 'web-1', imageName: 'web:1', state: 'running', pid: 4711 })
    expect(await one.api.inspect(ID.slice(0, 12), PATIENT_MS, never())).toEqual(whole)
    expect(one.asked).toEqual([`GET /containers/${ID}/json`, `GET /containers/${ID.slice(0, 12)}/json`])
  })

  it('knows no container that only bears the id as its name', async () => {
    await using dir = await temporaryDirectory()
    await using one = await engine(json({ ...INSPECTED, Id: 'b6'.repeat(32) }), dir.path)
    expect(await one.api.inspect(ID, PATIENT_MS, never())).toBeNull()
  })

  it('is never asked for what is no id', async () => {
    await using dir = await temporaryDirectory()
    await using one = await engine(json(INSPECTED), dir.path)
    await expect(one.api.inspect('../images/json?x=', PATIENT_MS, never())).rejects.toThrow(TypeError)
    expect(one.asked).toEqual([])
  })

  it('says that there is no such container', async () => {
    await using dir = await temporaryDirectory()
    await using one = await engine(json({ message: 'No such container' }, 404), dir.path)
    expect(await one.api.inspect(ID, PATIENT_MS, never())).toBeNull()
  })

  it.each<[string, RequestListener]>([
    ['fails', json({ message: 'x' }, 500)],
    ['sends more than is read', (_request, response) => void response.end('x'.repeat(4 * 1024 * 1024 + 1))],
    ['answers too late', () => undefined],
    ['hangs up', (request) => request.socket.destroy()],
    ['speaks no HTTP', (request) => request.socket.end('hello\r\n\r\n')],
    ['describes something else', json([])],
  ])('is unavailable when it %s', async (_what, listener) => {
    await using dir = await temporaryDirectory()
    await using one = await engine(listener, dir.path)
    const error = await one.api.inspect(ID, 200, never()).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'platform.unavailable' })
    expect(isAbsent(error)).toBe(false)
  })

  it('is absent where there is no socket', async () => {
    await using dir = await temporaryDirectory()
    await using http = createHttpClient({ roots: () => [] })
    const api = new EngineApi({ http, socketPath: join(dir.path, 'none.sock') })
    const error = await api.inspect(ID, PATIENT_MS, never()).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'platform.unavailable' })
    expect(isAbsent(error)).toBe(true)
  })

  it('ends with the reason of the signal', async () => {
    await using dir = await temporaryDirectory()
    await using one = await engine(() => undefined, dir.path)
    const stop = new AbortController()
    const asking = one.api.inspect(ID, PATIENT_MS, stop.signal)
    const reason = new Error('enough')
    setTimeout(() => stop.abort(reason), 20)
    await expect(asking).rejects.toBe(reason)
  })
})

describe('the events of an engine, over its socket', () => {
  const event = (action: string) => `${JSON.stringify({ Type: 'container', Action: action, Actor: { ID } })}\n`

  it('arrive as they happen, whatever pieces they come in, until the engine ends them', async () => {
    await using dir = await temporaryDirectory()
    let stream: ServerResponse | undefined
    await using one = await engine((_request, response) => {
      stream = response
      response.writeHead(200)
      response.flushHeaders()
    }, dir.path)
    const heard: EngineEvent['what'][] = []
    let opened = 0
    const hearing = (async () => {
      for await (const { containerId, what } of one.api.events(() => opened++, never())) {
        expect(containerId).toBe(ID)
        heard.push(what)
      }
    })()
    await expect.poll(() => opened).toBe(1)
    expect(one.asked[0]).toMatch(/^GET \/events\?filters=.*"type":\["container"\]/)
    stream?.write(event('start').slice(0, 30))
    await new Promise((resolve) => setTimeout(resolve, 20))
    stream?.write(`${event('start').slice(30)}${event('exec_start: sh')}${event('rename')}`)
    await expect.poll(() => heard).toEqual(['started', 'renamed'])
    stream?.end(event('die'))
    await hearing
    expect(heard).toEqual(['started', 'renamed', 'ended'])
  })

  it('end with an error when the engine goes away', async () => {
    await using dir = await temporaryDirectory()
    await using one = await engine((_request, response) => void response.writeHead(200).flushHeaders(), dir.path)
    const hearing = (async () => {
      for await (const _event of one.api.events(() => setTimeout(one.close, 20), never()));
    })()
    await expect(hearing).rejects.toMatchObject({ code: 'platform.unavailable' })
  })

  it('are refused as the engine likes', async () => {
    await using dir = await temporaryDirectory()
    await using one = await engine(json({ message: 'no' }, 403), dir.path)
    await expect(one.api.events(() => undefined, never()).next()).rejects.toMatchObject({
      code: 'platform.unavailable',
      details: { status: 403 },
    })
  })

  it.each([20, 200_000])('that are refused leave nothing behind, with %i bytes of an answer', async (bytes) => {
    await using dir = await temporaryDirectory()
    const sockets = new Set<Socket>()
    await using one = await engine((request, response) => {
      sockets.add(request.socket)
      response.writeHead(403).end('x'.repeat(bytes))
    }, dir.path)
    const stop = new AbortController()
    // More often than there are connections at a time.
    for (let i = 0; i < 20; i++) {
      const refusal = one.api.events(() => undefined, stop.signal).next()
      await expect(refusal).rejects.toMatchObject({ details: { status: 403 } })
    }
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
    // Those whose answer was complete are kept, a few of them: they are used again.
    await expect.poll(() => [...sockets].filter((socket) => !socket.destroyed).length).toBeLessThan(5)
  })

  it('that nobody listens to any more are closed', async () => {
    await using dir = await temporaryDirectory()
    let closed = 0
    await using one = await engine((_request, response) => {
      response.writeHead(200).write(event('start'))
      response.on('close', () => closed++)
    }, dir.path)
    const stop = new AbortController()
    for await (const { what } of one.api.events(() => undefined, stop.signal)) {
      expect(what).toBe('started')
      break
    }
    await expect.poll(() => closed).toBe(1)
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
  })
})
