import { describe, expect, it } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import { codeOf } from '../../../agent/errors.js'
import {
  type ClientCertificates,
  NO_CLIENT_CERTIFICATES,
  type PresentedAt,
} from '../../../agent/icp/client-certificates.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { HttpError, type HttpResponse } from '../../../agent/ports/http.js'
import { TestCa } from '../../fakes/ca.js'
import { settle } from '../../fakes/clock.js'
import { TENANT } from '../../fakes/control-plane.js'
import { json, ScriptedHttp, text } from '../../fakes/http.js'
import { clientOver, SIGNAL } from './subject.js'

const AGENT = SpiffeId.parse(`spiffe://${TENANT}/agent/node-1`)
const ENTRIES = json(200, { entries: [] })
const unreachable = new HttpError('unreachable', 'refused')
const thrown = (error: unknown) => error

describe('a request', () => {
  it('has a span for each attempt, whose headers it carries', async () => {
    const http = new ScriptedHttp(text(502, ''), ENTRIES)
    const ended: string[] = []
    let spans = 0
    const tracing = {
      begin: (endpoint: string) => ({
        headers: { traceparent: `${endpoint} ${++spans}` },
        end: (outcome: string) => void ended.push(outcome),
      }),
    }
    const { client, clock } = clientOver(http, { tracing })
    const answer = client.entries(AGENT, SIGNAL)
    await settle()
    while (http.requests.length === 1) await clock.advance('1s')
    await answer
    expect(http.requests.map(({ headers }) => headers?.['traceparent'])).toEqual(['entries 1', 'entries 2'])
    expect(ended).toEqual(['icp.server_error', 'ok'])
  })

  it('carries no trace unless it is told to', async () => {
    const http = new ScriptedHttp(ENTRIES)
    await clientOver(http).client.entries(AGENT, SIGNAL)
    expect(Object.keys(http.requests[0]?.headers ?? {})).not.toContain('traceparent')
  })

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

  it('takes a slot of the limiter for each repetition, and waits for it', async () => {
    const http = new ScriptedHttp(unreachable, text(502, ''), ENTRIES)
    const { client, clock, limiter } = clientOver(http)
    const answer = client.entries(AGENT, SIGNAL)
    await settle()
    limiter.limited('standard', 60_000)
    await clock.advance('59s')
    expect(http.requests).toHaveLength(1)
    await clock.advance('1s')
    expect(http.requests).toHaveLength(2)
    expect(limiter.opensIn('standard')).toBeGreaterThan(0)
    await clock.advance('20s')
    expect((await answer).entries).toEqual([])
    expect(http.requests).toHaveLength(3)
  })

  it('of no tier is repeated under the limit around everything', async () => {
    const http = new ScriptedHttp(unreachable, json(200, { keys: [] }))
    const { client, clock, limiter } = clientOver(http)
    const answer = client.jwtBundle(SIGNAL)
    await settle()
    limiter.limited('standard', 300_000)
    for (let n = 0; n < 15; n++) limiter.charge('service')
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
    ['TLS failures', new HttpError('tls', 'unknown CA'), 'icp.tls'],
    ['bodies that are too large', new HttpError('too_large', 'huge'), 'icp.too_large'],
    ['bodies that are none', text(200, '<html>'), 'icp.bad_response'],
  ] as const)('is not repeated after %s', async (_name, answer, code) => {
    const http = new ScriptedHttp(answer)
    const { client } = clientOver(http)
    expect(codeOf(await client.jwtBundle(SIGNAL).catch(thrown))).toBe(code)
    expect(http.requests).toHaveLength(1)
  })

  it.each([
    ['a lost answer', unreachable, 'icp.unreachable'],
    ['a timeout', new HttpError('timeout', 'late'), 'icp.timeout'],
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
  /** Answers by whether there is a certificate. */
  const server = (without: HttpResponse | Error, withOne: HttpResponse | Error) =>
    new ScriptedHttp().always(({ withoutIdentity }) => {
      const answer = withoutIdentity ? without : withOne
      if (answer instanceof Error) throw answer
      return answer
    })
  const wanted = json(401, { error: { code: 'UNAUTHORIZED', message: 'Client certificate required' } })
  const closed = new HttpError('unreachable', 'closed', { details: { reason: 'UND_ERR_SOCKET' } })
  const refused = new HttpError('unreachable', 'refused', { details: { reason: 'ECONNREFUSED' } })
  const renewal = { agentId: 'a', csrPem: 'CSR' }
  const jwt = { spiffeId: SpiffeId.parse(`spiffe://${TENANT}/web`), audience: ['db'] }
  const TOKEN = json(200, { spiffe_id: 'x', token: 'y' })
  const WITHHELD = 'ICP server fails on our client certificate; no longer presenting it'

  it('is not shown to a server that named no workspace and does not want one, not even once', async () => {
    const http = server(ENTRIES, closed)
    const { client, sinks } = clientOver(http)
    await client.entries(AGENT, SIGNAL)
    await client.revokeWorkload('aa:bb', SIGNAL)
    expect(used(http)).toEqual(['without', 'without'])
    expect(sinks.events()).toEqual([])
  })

  it('is shown to a server of the workspace API, even where it fails', async () => {
    const http = server(ENTRIES, json(500, { error: 'oops' }))
    const { client } = clientOver(http)
    client.learnGeneration(true)
    expect(codeOf(await client.entries(AGENT, SIGNAL).catch(thrown))).toBe('icp.server_error')
    expect(used(http)).toEqual(['with'])
  })

  it('is shown after a 401 that wants one, and from then on', async () => {
    const http = server(wanted, ENTRIES)
    const { client, sinks } = clientOver(http)
    await client.entries(AGENT, SIGNAL)
    await client.revokeWorkload('aa:bb', SIGNAL)
    expect(used(http)).toEqual(['without', 'with', 'with'])
    expect(sinks.events()).toEqual(['ICP server wants client certificates'])
  })

  it('is not shown because a renewal is refused, which the tenant API does whatever it sees', async () => {
    const http = server(wanted, ENTRIES)
    const { client } = clientOver(http)
    expect(codeOf(await client.renewAgent(renewal, SIGNAL).catch(thrown))).toBe('icp.unauthorized')
    expect(used(http)).toEqual(['without'])
    await client.entries(AGENT, SIGNAL)
    await client.renewAgent(renewal, SIGNAL).catch(thrown)
    expect(used(http)).toEqual(['without', 'without', 'with', 'with'])
  })

  it('is not shown where TLS ends before the server', async () => {
    const http = server(json(401, { error: { code: 'UNAUTHORIZED', message: 'TLS connection required' } }), TOKEN)
    const { client } = clientOver(http)
    expect(codeOf(await client.issueJwt(jwt, SIGNAL).catch(thrown))).toBe('icp.jwt_unauthorized')
    expect(used(http)).toEqual(['without'])
  })

  it('that JWT-SVIDs are issued to is of no concern to the rest', async () => {
    const http = server(wanted, TOKEN)
    const { client } = clientOver(http)
    await client.issueJwt(jwt, SIGNAL)
    http.add(ENTRIES)
    await client.entries(AGENT, SIGNAL)
    await client.issueJwt(jwt, SIGNAL)
    expect(used(http)).toEqual(['without', 'with', 'without', 'with'])
  })

  it.each([
    ['whose process dies of it', closed],
    ['that answers 500 to it', json(500, { error: 'oops' })],
  ])('is shown once to a server that wants it and %s, and again only after the next attestation', async (_, answer) => {
    const http = server(wanted, answer)
    const { client, sinks, clock } = clientOver(http)
    for (let n = 0; n < 2; n++) {
      expect(codeOf(await client.entries(AGENT, SIGNAL).catch(thrown))).toBe('icp.unauthorized')
      await clock.advance('1h')
      // A renewed certificate does not heal the server.
      client.learnGeneration(false)
    }
    expect(used(http)).toEqual(['without', 'with', 'without'])
    expect(sinks.events('warn')).toEqual([WITHHELD])
    const { pem } = await TestCa.create('CA', { notBefore: 0, notAfter: 2e12 })
    http.add(json(200, { spiffe_id: AGENT.uri, agent_id: 'a', certificate: pem, ca_bundle: pem, ttl: 1 }))
    await client.attestNode({ evidence: { type: 'unix', evidence: {} }, csrPem: 'CSR' }, SIGNAL)
    await client.entries(AGENT, SIGNAL).catch(thrown)
    expect(used(http).slice(3)).toEqual(['without', 'without', 'with'])
  })

  it('that a server died of is not shown by a process that starts meanwhile', async () => {
    const failsAt: PresentedAt[] = []
    const certificates: ClientCertificates = {
      ...NO_CLIENT_CERTIFICATES,
      failsAt: () => failsAt,
      failed: (place) => void failsAt.push(place),
    }
    const http = server(wanted, closed)
    await clientOver(http, { certificates }).client.entries(AGENT, SIGNAL).catch(thrown)
    const restarted = clientOver(http, { certificates }).client
    await restarted.entries(AGENT, SIGNAL).catch(thrown)
    expect(used(http)).toEqual(['without', 'with', 'without'])
    // Elsewhere it is another matter.
    await restarted.issueJwt(jwt, SIGNAL).catch(thrown)
    expect(used(http).slice(3)).toEqual(['without', 'with'])
    expect(failsAt).toEqual(['agents', 'jwt'])
  })

  it.each([
    ['closes the connection on', closed],
    ['answers 500 to', json(500, { error: 'oops' })],
  ])('that a server wanted is withheld once it %s it and answers without', async (_, answer) => {
    const http = server(wanted, ENTRIES)
    const { client, sinks } = clientOver(http)
    await client.entries(AGENT, SIGNAL)
    http.add(answer, ENTRIES)
    await client.entries(AGENT, SIGNAL)
    http.add(ENTRIES)
    await client.entries(AGENT, SIGNAL)
    expect(used(http).slice(2)).toEqual(['with', 'without', 'without'])
    expect(sinks.events('warn')).toEqual([WITHHELD])
  })

  it('is wanted on after a connection that closes, where the request without it is refused: that was the network', async () => {
    const http = server(wanted, ENTRIES)
    const { client, sinks } = clientOver(http, { maxRetries: 0 })
    await client.entries(AGENT, SIGNAL)
    http.add(closed, wanted)
    expect(codeOf(await client.entries(AGENT, SIGNAL).catch(thrown))).toBe('icp.unreachable')
    await client.entries(AGENT, SIGNAL)
    expect(used(http).slice(2)).toEqual(['with', 'without', 'with'])
    expect(sinks.events('warn')).not.toContain(WITHHELD)
  })

  it('is not shown again to a server that died of it and is on its way back, before it wants one again', async () => {
    const http = server(wanted, ENTRIES)
    const { client, clock } = clientOver(http)
    await client.entries(AGENT, SIGNAL)
    http.add(closed, refused, ENTRIES)
    const answer = client.entries(AGENT, SIGNAL)
    await clock.advance('10s')
    expect((await answer).entries).toEqual([])
    expect(used(http).slice(2)).toEqual(['with', 'without', 'without'])
  })

  it('that helps against nothing costs a second request only now and then', async () => {
    const http = server(wanted, json(401, {}))
    const { client, clock } = clientOver(http)
    for (let n = 0; n < 2; n++) await client.entries(AGENT, SIGNAL).catch(thrown)
    expect(used(http)).toEqual(['without', 'with', 'without'])
    await clock.advance('6m')
    await client.entries(AGENT, SIGNAL).catch(thrown)
    expect(used(http).slice(3)).toEqual(['without', 'with'])
    // Another certificate may be worth more than the last.
    client.learnGeneration(false)
    await client.entries(AGENT, SIGNAL).catch(thrown)
    expect(used(http).slice(5)).toEqual(['without', 'with'])
  })

  it('that fails the handshake means what 401 means, where one is shown', async () => {
    const handshake = new HttpError('tls', 'expired', { details: { clientCertificate: true } })
    const { client } = clientOver(new ScriptedHttp().always(handshake))
    expect(codeOf(await client.bundle(SIGNAL).catch(thrown))).toBe('icp.tls')
    client.learnGeneration(true)
    expect(codeOf(await client.renewAgent(renewal, SIGNAL).catch(thrown))).toBe('icp.unauthorized')
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
