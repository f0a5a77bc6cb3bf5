import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../../agent/errors.js'
import { fileEvents } from '../../../../agent/observability/file-events.js'
import { HttpError, type HttpTls } from '../../../../agent/ports/http.js'
import { KubernetesApi } from '../../../../attestors/kubernetes/api.js'
import { retryAfterOf, statusOf } from '../../../../attestors/kubernetes/api-errors.js'
import { TestCa } from '../../../fakes/ca.js'
import { FakeClock } from '../../../fakes/clock.js'
import { json, ScriptedHttp, text } from '../../../fakes/http.js'
import { MemoryFiles } from '../../../fakes/memory-files.js'
import { RecordedSinks } from '../../../fakes/sinks.js'

const CA = (await TestCa.create('cluster', { notBefore: 0, notAfter: 4_000_000_000_000 })).pem
const signal = new AbortController().signal

function setUp(...script: ConstructorParameters<typeof ScriptedHttp>) {
  const files = new MemoryFiles()
  files.content.set('/sa/token', Buffer.from('first\n'))
  files.content.set('/sa/ca.crt', Buffer.from(CA))
  const sinks = new RecordedSinks()
  const events = fileEvents(sinks.log, new FakeClock())
  const http = new ScriptedHttp(...script)
  const trusted: { now: () => HttpTls } = { now: () => ({ ca: [] }) }
  const api = new KubernetesApi({
    files,
    fileEvents: events,
    openHttp: (tls) => {
      trusted.now = tls
      return http
    },
    address: 'https://10.96.0.1:443',
    tokenPath: '/sa/token',
    caPath: '/sa/ca.crt',
    caSetting: 'attestation.kubernetes.api_ca_path',
  })
  const failure = async () => {
    const error = await api.open('/api/v1/pods', signal).catch((thrown: unknown) => thrown)
    if (!(error instanceof AgentError)) throw new TypeError('it did not fail as it must')
    return error
  }
  return { api, files, sinks, events, http, trusted, failure }
}
const status = (code: number, message: string) => json(code, { kind: 'Status', code, message })

describe('a request to Kubernetes', () => {
  it('bears the token of the file, trusts the authority of the file and nothing else', async () => {
    const { api, http, trusted } = setUp(json(200, {}))
    await api.open('/api/v1/pods', signal)
    expect(http.last).toMatchObject({
      url: 'https://10.96.0.1:443/api/v1/pods',
      headers: { authorization: 'Bearer first' },
      withoutIdentity: true,
    })
    expect(trusted.now()).toEqual({ ca: [CA] })
  })

  it('bears the token that the file has then: it rotates', async () => {
    const { api, http, files } = setUp(json(200, {}), json(200, {}))
    await api.open('/a', signal)
    files.content.set('/sa/token', Buffer.from('second'))
    await api.open('/a', signal)
    expect(http.last.headers).toMatchObject({ authorization: 'Bearer second' })
  })

  it('is repeated once with a token that was replaced under way', async () => {
    const { api, http, files } = setUp(
      () => {
        files.content.set('/sa/token', Buffer.from('second'))
        return status(401, 'Unauthorized')
      },
      json(200, {}),
    )
    expect((await api.open('/a', signal)).status).toBe(200)
    expect(http.requests.map(({ headers }) => headers?.['authorization'])).toEqual(['Bearer first', 'Bearer second'])
  })

  it('whose token was refused holds on to no connection, whatever the file of the token says then', async () => {
    const { http, files, failure } = setUp(() => {
      files.content.delete('/sa/token')
      return status(401, 'Unauthorized')
    })
    expect(statusOf(await failure())).toBe(401)
    expect(http.openStreams).toBe(0)
  })

  it('whose token was refused is over before the file of the token is read again', async () => {
    const open: number[] = []
    const { http, files, failure } = setUp(status(401, 'Unauthorized'))
    files.hook = ({ path, when }) => {
      if (path === '/sa/token' && when === 'before') open.push(http.openStreams)
    }
    expect(statusOf(await failure())).toBe(401)
    expect(open).toEqual([0, 0])
  })

  it('is not repeated with the token that was refused', async () => {
    const { http, failure } = setUp(status(401, 'Unauthorized'))
    expect(statusOf(await failure())).toBe(401)
    expect(http.requests).toHaveLength(1)
  })

  it('trusts an authority that was replaced, and gives the same object while it was not', async () => {
    const { api, files, trusted } = setUp(json(200, {}), json(200, {}), json(200, {}))
    await api.open('/a', signal)
    const before = trusted.now().ca
    await api.open('/a', signal)
    expect(trusted.now().ca).toBe(before)
    files.content.set('/sa/ca.crt', Buffer.from(`${CA}${CA}`))
    await api.open('/a', signal)
    expect(trusted.now().ca).toEqual([`${CA}${CA}`])
  })
})

describe('a file that breaks while the agent runs', () => {
  it.each([
    ['/sa/token', 'empty', ''],
    ['/sa/token', 'gone', null],
    ['/sa/token', 'two words', 'Internal error'],
    ['/sa/ca.crt', 'empty', ''],
    ['/sa/ca.crt', 'gone', null],
    ['/sa/ca.crt', 'garbage', 'nonsense'],
    ['/sa/ca.crt', 'cut off', `${CA}${CA.slice(0, 100)}`],
    ['/sa/ca.crt', 'cut off within a boundary', `${CA}-----BEG`],
    ['/sa/ca.crt', 'a key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'],
  ])('leaves what %s held before in force (%s), says so once, and when it is over', async (path, _what, content) => {
    const { api, files, http, trusted, sinks, events } = setUp()
    http.always(json(200, {}))
    await api.open('/a', signal)
    const good = files.content.get(path) ?? Buffer.alloc(0)
    if (content === null) files.content.delete(path)
    else files.content.set(path, Buffer.from(content))
    for (let i = 0; i < 3; i++) await api.open('/a', signal)
    expect(http.last.headers).toMatchObject({ authorization: 'Bearer first' })
    expect(trusted.now()).toEqual({ ca: [CA] })
    expect(sinks.events('warn')).toHaveLength(1)
    expect(events.broken()).toMatchObject([{ path, code: 'file.broken', message: expect.stringContaining(path) }])
    files.content.set(path, good)
    await api.open('/a', signal)
    expect(sinks.events('info')).toEqual(['Reread file can be used again'])
    expect(events.broken()).toEqual([])
  })

  it('and cannot be read does likewise', async () => {
    const { api, files, http, events } = setUp()
    http.always(json(200, {}))
    await api.open('/a', signal)
    files.hook = ({ path }) => {
      throw new AgentError('file.unsafe', `refusing ${path}: it is a directory`)
    }
    expect((await api.open('/a', signal)).status).toBe(200)
    expect(events.broken().map(({ path }) => path)).toEqual(['/sa/ca.crt', '/sa/token'])
  })

  it('with a token that the server refuses leaves the one that it took', async () => {
    const { api, files, http, sinks } = setUp()
    http.always(({ headers }) => (headers?.['authorization'] === 'Bearer bad' ? status(401, 'no') : json(200, {})))
    await api.open('/a', signal)
    files.content.set('/sa/token', Buffer.from('bad\n'))
    for (let i = 0; i < 3; i++) expect((await api.open('/a', signal)).status).toBe(200)
    expect(http.requests.map(({ headers }) => headers?.['authorization'])).toEqual([
      'Bearer first',
      'Bearer bad',
      'Bearer first',
      'Bearer first',
      'Bearer first',
    ])
    expect(sinks.events('warn')).toHaveLength(1)
    expect(JSON.stringify(sinks.lines)).not.toContain('first')
  })

  it('with a token that was refused by mistake is believed once the former one is refused', async () => {
    const { api, files, http } = setUp()
    const refused = new Set(['Bearer second'])
    http.always(({ headers }) => (refused.has(headers?.['authorization'] ?? '') ? status(401, 'no') : json(200, {})))
    await api.open('/a', signal)
    files.content.set('/sa/token', Buffer.from('second'))
    await api.open('/a', signal)
    refused.clear()
    refused.add('Bearer first')
    expect((await api.open('/a', signal)).status).toBe(200)
    expect(http.last.headers).toMatchObject({ authorization: 'Bearer second' })
    expect((await api.open('/a', signal)).status).toBe(200)
    expect(http.requests).toHaveLength(6)
  })
})

describe('a request that fails', () => {
  it.each([
    ['no token', '/sa/token', null],
    ['an empty token', '/sa/token', '\n'],
    ['no authority', '/sa/ca.crt', null],
    ['an authority that is no certificate', '/sa/ca.crt', 'nonsense'],
  ])('for %s names the file and asks nobody', async (_what, path, content) => {
    const { files, http, failure } = setUp()
    if (content === null) files.content.delete(path)
    else files.content.set(path, Buffer.from(content))
    const error = await failure()
    expect(error.code).toBe('platform.unavailable')
    expect(error.message).toContain(path)
    expect(http.requests).toHaveLength(0)
  })

  it('says that a projected token may hide the authority', async () => {
    const { files, failure } = setUp()
    files.content.delete('/sa/ca.crt')
    expect((await failure()).message).toMatch(/projected .*hides it.*api_ca_path/)
  })

  it.each([
    [401, 'token at /sa/token'],
    [401, 'a kubelet also answers this while it cannot reach its API server'],
    [403, 'get, list and watch on pods'],
    [410, 'refuses'],
    [503, 'fails'],
  ])('with %i says what to do, and what the server said', async (code, advice) => {
    const { failure } = setUp(status(code, 'because of this'))
    const error = await failure()
    expect([error.code, statusOf(error)]).toEqual(['platform.unavailable', code])
    expect(error.message).toContain(advice)
    expect(error.message).toContain('because of this')
    expect(error.message).not.toContain('first')
  })

  it('with a page of a proxy is as clear', async () => {
    const { failure } = setUp(text(502, '<html>bad gateway'))
    expect(statusOf(await failure())).toBe(502)
  })

  it('says for how long the server wants to be left alone', async () => {
    const { failure } = setUp(text(429, '', { 'retry-after': '7' }), text(429, '', { 'retry-after': 'Tue' }))
    expect(retryAfterOf(await failure())).toBe(7_000)
    expect(retryAfterOf(await failure())).toBe(0)
  })

  it.each([
    ['unreachable', 'ECONNREFUSED', 'refused'],
    ['tls', 'SELF_SIGNED_CERT_IN_CHAIN', '/sa/ca.crt'],
    ['tls', 'ERR_TLS_CERT_ALTNAME_INVALID', 'another name'],
  ] as const)('on the way (%s, %s) speaks of Kubernetes, not of the ICP server', async (failed, reason, part) => {
    const details = { reason }
    const { failure } = setUp(new HttpError(failed, 'https://10.96.0.1: the connection was refused', { details }))
    const error = await failure()
    expect(error.code).toBe('platform.unavailable')
    expect(error.message).toContain(part)
    expect(error.message).not.toContain('icp_service')
  })

  it('because it was told to stop throws the reason', async () => {
    const { api } = setUp(json(200, {}))
    const reason = new Error('stop')
    await expect(api.open('/a', AbortSignal.abort(reason))).rejects.toBe(reason)
  })
})
