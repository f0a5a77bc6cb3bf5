import { describe, expect, it } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import { AgentError, codeOf } from '../../../agent/errors.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { settle } from '../../fakes/clock.js'
import { TENANT } from '../../fakes/control-plane.js'
import { json, ScriptedHttp, text } from '../../fakes/http.js'
import { clientOver, SIGNAL } from './subject.js'

const AGENT = SpiffeId.parse(`spiffe://${TENANT}/agent/node-1`)
const ENTRIES = json(200, { entries: [] })
const unreachable = new AgentError('icp.unreachable', 'refused')
const thrown = (error: unknown) => error

describe('a request', () => {
  it('is repeated after network errors, 502, 503 and 504, after waits that double', async () => {
    const http = new ScriptedHttp(unreachable, text(502, ''), json(503, { error: 'CA away' }), ENTRIES)
    const { client, clock } = clientOver(http)
    const answer = client.entries(AGENT, SIGNAL)
    await settle()
    const waits: number[] = []
    for (let sent = 1; sent < 4; sent++) {
      const began = clock.monotonic()
      while (http.requests.length === sent) await clock.advance(250)
      waits.push(clock.monotonic() - began)
    }
    // Base 5 s, jitter 0.75: half of the range is fixed, half drawn.
    expect(waits).toEqual([3750, 7500, 15_000])
    expect((await answer).entries).toEqual([])
    expect(clock.pending).toBe(0)
  })

  it('takes a slot of the budget for each repetition, and waits for it', async () => {
    const http = new ScriptedHttp(unreachable, text(502, ''), ENTRIES)
    const { client, clock, budget } = clientOver(http)
    const answer = client.entries(AGENT, SIGNAL)
    await settle()
    budget.limited('standard', 60_000)
    await clock.advance('59s')
    expect(http.requests).toHaveLength(1)
    await clock.advance('1s')
    expect(http.requests).toHaveLength(2)
    expect(budget.opensIn('standard')).toBeGreaterThan(0)
    await clock.advance('20s')
    expect((await answer).entries).toEqual([])
    expect(http.requests).toHaveLength(3)
  })

  it('of no tier is repeated under the limit around everything', async () => {
    const http = new ScriptedHttp(unreachable, json(200, { keys: [] }))
    const { client, clock, budget } = clientOver(http)
    const answer = client.jwtBundle(SIGNAL)
    await settle()
    budget.limited('standard', 300_000)
    for (let n = 0; n < 15; n++) budget.take('open')
    await clock.advance('10s')
    expect(await answer).toEqual([])
  })

  it('fails with the last error once it was repeated as often as is set', async () => {
    const http = new ScriptedHttp().always(text(504, ''))
    const { client, clock, sinks } = clientOver(http, { maxRetries: 2 })
    const answer = client.entries(AGENT, SIGNAL).catch(thrown)
    await clock.advance('2m')
    expect(await answer).toMatchObject({ code: 'icp.server_error', details: { status: 504, endpoint: 'entries' } })
    expect(http.requests).toHaveLength(3)
    expect(sinks.total('icp_agent_server_requests_total', { endpoint: 'entries', outcome: 'icp.server_error' })).toBe(3)
  })

  it('waits as long as the server asks, and never longer than a minute', async () => {
    const http = new ScriptedHttp(
      json(503, {}, { 'retry-after': '20' }),
      json(503, {}, { 'retry-after': '9000' }),
      ENTRIES,
    )
    const { client, clock } = clientOver(http)
    const answer = client.entries(AGENT, SIGNAL)
    await clock.advance('19s')
    expect(http.requests).toHaveLength(1)
    await clock.advance('1s')
    expect(http.requests).toHaveLength(2)
    await clock.advance('59s')
    expect(http.requests).toHaveLength(2)
    await clock.advance('1s')
    expect((await answer).unchanged).toBe(false)
  })

  it('waits to the end where the wall clock jumps', async () => {
    const http = new ScriptedHttp(unreachable, ENTRIES)
    const { client, clock } = clientOver(http)
    const answer = client.entries(AGENT, SIGNAL)
    await settle()
    await clock.jump('6h')
    expect(http.requests).toHaveLength(1)
    await clock.advance('10s')
    expect(await answer).toBeDefined()
  })

  it.each([
    ['400', json(400, {}), 'icp.bad_request'],
    ['401', json(401, {}), 'icp.unauthorized'],
    ['403', json(403, {}), 'icp.forbidden'],
    ['404', json(404, {}), 'icp.not_found'],
    ['405', text(405, ''), 'icp.bad_request'],
    ['409', json(409, {}), 'icp.conflict'],
    ['429', json(429, {}), 'icp.rate_limited'],
    ['500', json(500, {}), 'icp.server_error'],
    ['501', json(501, {}), 'icp.server_error'],
    ['301', text(301, ''), 'icp.bad_response'],
    ['TLS failures', new AgentError('icp.tls', 'unknown CA'), 'icp.tls'],
    ['bodies that are too large', new AgentError('icp.too_large', 'huge'), 'icp.too_large'],
    ['bodies that are none', text(200, '<html>'), 'icp.bad_response'],
  ] as const)('is not repeated after %s', async (_name, answer, code) => {
    const http = new ScriptedHttp(answer)
    const { client } = clientOver(http)
    expect(codeOf(await client.bundle(SIGNAL).catch(thrown))).toBe(code)
    expect(http.requests).toHaveLength(1)
  })

  it.each([
    ['a lost answer', unreachable, 'icp.unreachable'],
    ['a timeout', new AgentError('icp.timeout', 'late'), 'icp.timeout'],
    ['503', json(503, {}), 'icp.server_error'],
  ] as const)('with a join token is sent once, whatever happens: %s', async (_name, answer, code) => {
    const http = new ScriptedHttp(answer)
    const { client } = clientOver(http)
    const evidence = { type: 'join_token', evidence: {}, joinToken: new Secret('token') } as const
    expect(codeOf(await client.attestNode({ evidence, csrPem: 'CSR' }, SIGNAL).catch(thrown))).toBe(code)
    expect(http.requests).toHaveLength(1)
  })

  it('without a join token attests again after a passing failure', async () => {
    const http = new ScriptedHttp(unreachable, text(200, ''))
    const { client, clock } = clientOver(http)
    const evidence = { type: 'unix', evidence: { pid: 1 } } as const
    const answer = client.attestNode({ evidence, csrPem: 'CSR' }, SIGNAL).catch(thrown)
    await clock.advance('10s')
    expect(codeOf(await answer)).toBe('icp.bad_response')
    expect(http.requests).toHaveLength(2)
  })

  it('ends at once when its signal aborts, while it waits as well', async () => {
    const http = new ScriptedHttp().always(unreachable)
    const { client, clock } = clientOver(http)
    const stop = new AbortController()
    const reason = new Error('stop')
    const answer = client.entries(AGENT, stop.signal).catch(thrown)
    await settle()
    expect(clock.pending).toBe(1)
    stop.abort(reason)
    expect(await answer).toBe(reason)
    expect(clock.pending).toBe(0)
  })

  it('that fails by a defect of ours is not hidden', async () => {
    const { client } = clientOver(new ScriptedHttp(new TypeError('bug')))
    await expect(client.bundle(SIGNAL)).rejects.toThrow(TypeError)
  })
})

describe('the client certificate', () => {
  const used = (http: ScriptedHttp) =>
    http.requests.map(({ withoutIdentity }) => (withoutIdentity ? 'without' : 'with'))
  const failing = () =>
    new ScriptedHttp().always(({ withoutIdentity }) => (withoutIdentity ? ENTRIES : json(500, { error: 'oops' })))

  it('is withheld for good once a server answers without it what it failed with it', async () => {
    const http = failing()
    const { client, sinks } = clientOver(http)
    await client.entries(AGENT, SIGNAL)
    await client.entries(AGENT, SIGNAL)
    expect(used(http)).toEqual(['with', 'without', 'without'])
    expect(sinks.events('warn')).toHaveLength(1)
  })

  it('is presented to a server of the workspace API, even where it fails', async () => {
    const http = failing()
    const { client } = clientOver(http)
    client.learnGeneration(true)
    expect(codeOf(await client.entries(AGENT, SIGNAL).catch(thrown))).toBe('icp.server_error')
    expect(used(http)).toEqual(['with'])
  })

  it('is presented further on where the server fails without it too, and doubted again only later', async () => {
    const http = new ScriptedHttp().always(json(500, { error: 'oops' }))
    const { client, clock } = clientOver(http)
    for (let i = 0; i < 2; i++) await client.entries(AGENT, SIGNAL).catch(thrown)
    expect(used(http)).toEqual(['with', 'without', 'with'])
    await clock.advance('6m')
    await client.entries(AGENT, SIGNAL).catch(thrown)
    expect(used(http).slice(3)).toEqual(['with', 'without'])
  })

  it('is not doubted once it was answered well', async () => {
    const http = new ScriptedHttp(ENTRIES, json(500, {}))
    const { client } = clientOver(http)
    await client.entries(AGENT, SIGNAL)
    expect(codeOf(await client.entries(AGENT, SIGNAL).catch(thrown))).toBe('icp.server_error')
    expect(used(http)).toEqual(['with', 'with'])
  })

  it('that fails the handshake means what 401 means, where one is presented', async () => {
    const handshake = new AgentError('icp.tls', 'expired', { details: { clientCertificate: true } })
    const { client } = clientOver(new ScriptedHttp().always(handshake))
    expect(codeOf(await client.renewAgent({ agentId: 'a', csrPem: 'CSR' }, SIGNAL).catch(thrown))).toBe(
      'icp.unauthorized',
    )
    expect(codeOf(await client.bundle(SIGNAL).catch(thrown))).toBe('icp.tls')
  })

  it('comes back when the server asks for it again', async () => {
    let fixed = false
    const http = new ScriptedHttp().always(({ withoutIdentity }) => {
      if (withoutIdentity) return fixed ? json(401, {}) : ENTRIES
      return fixed ? ENTRIES : json(500, {})
    })
    const { client } = clientOver(http)
    await client.entries(AGENT, SIGNAL)
    fixed = true
    await client.entries(AGENT, SIGNAL)
    await client.entries(AGENT, SIGNAL)
    expect(used(http)).toEqual(['with', 'without', 'without', 'with', 'with'])
  })

  it('is withheld on after a 401 that it does not help against', async () => {
    const http = failing()
    const { client } = clientOver(http)
    await client.entries(AGENT, SIGNAL)
    http.always(json(401, {}))
    expect(codeOf(await client.renewAgent({ agentId: 'a', csrPem: 'CSR' }, SIGNAL).catch(thrown))).toBe(
      'icp.unauthorized',
    )
    http.always(ENTRIES)
    await client.entries(AGENT, SIGNAL)
    expect(used(http).at(-1)).toBe('without')
  })
})

describe("the server's clock", () => {
  it('is read from answers of every kind', async () => {
    const http = new ScriptedHttp()
    const { client, clock, sinks } = clientOver(http)
    expect(client.skew()).toBeNull()
    http.add(json(404, {}, { date: new Date(clock.now() + 90_000).toUTCString() }))
    await client.bundle(SIGNAL).catch(thrown)
    expect(client.skew()).toBe(90_500)
    http.add(json(404, {}, { date: 'nonsense' }))
    await client.bundle(SIGNAL).catch(thrown)
    expect(client.skew()).toBe(90_500)
    http.add(json(404, {}, { date: new Date(clock.now()).toUTCString() }))
    await client.bundle(SIGNAL).catch(thrown)
    expect(client.skew()).toBe(500)
    expect(sinks.events('warn')).toEqual(['The clocks of this machine and of the ICP server differ'])
    expect(sinks.events('info')).toEqual(['The clocks of this machine and of the ICP server agree again'])
  })
})

it('our clock that is set anew shows in the skew at once, before the server is asked again', async () => {
  const http = new ScriptedHttp()
  const { client, clock } = clientOver(http)
  http.add(json(404, {}, { date: new Date(clock.now()).toUTCString() }))
  await client.bundle(SIGNAL).catch(thrown)
  await clock.advance('10m')
  expect(client.skew()).toBe(500)
  await clock.jump('-1h')
  expect(client.skew()).toBe(3_600_500)
})

describe('an outage', () => {
  it('is said once, and once more when it has ended', async () => {
    const http = new ScriptedHttp(unreachable, unreachable, json(404, {}))
    const { client, clock, sinks } = clientOver(http, { maxRetries: 1 })
    const answer = client.bundle(SIGNAL).catch(thrown)
    await clock.advance('10s')
    await answer
    await client.bundle(SIGNAL).catch(thrown)
    expect(sinks.events('warn')).toEqual(['ICP server cannot be reached'])
    expect(sinks.events('info')).toEqual(['ICP server answers again'])
  })
})
