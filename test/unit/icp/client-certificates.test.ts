import { describe, expect, it } from 'vitest'
import { AgentError, codeOf } from '../../../agent/errors.js'
import type { ClientCertificates } from '../../../agent/icp/client-certificates.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import type { HttpRequest, HttpResponse } from '../../../agent/ports/http.js'
import { TENANT } from '../../fakes/control-plane.js'
import { json, ScriptedHttp } from '../../fakes/http.js'
import { clientOver, SIGNAL } from './subject.js'

const AGENT = SpiffeId.parse(`spiffe://${TENANT}/agent/node-1`)
const OK = json(200, { entries: null, total: 0 })
const handler = (status: number, message: string) => json(status, { error: { code: 'CODE', message } })
const REFUSED = handler(401, 'Client certificate could not be verified')
const thrown = (error: unknown) => error

/** Two certificates, and what is told of them. */
class Two implements ClientCertificates {
  readonly told: string[] = []
  constructor(public order: readonly string[] = ['new', 'old']) {}
  names = () => this.order
  accepted = (name: string | null) => void this.told.push(`accepted ${name}`)
  refused = (error: AgentError) => void this.told.push(`refused ${error.code}`)
  inactive = (error: AgentError) => void this.told.push(`inactive ${error.code}`)
  failsAt = () => []
  failed = (place: string) => void this.told.push(`failed ${place}`)
}

/** A server of the workspace API that answers by the certificate. */
function over(certificates: Two, answer: (name: string) => HttpResponse | Error) {
  const shown: string[] = []
  const http = new ScriptedHttp().always((request: HttpRequest) => {
    const name = request.withoutIdentity ? 'none' : (certificates.order[request.otherIdentity ? 1 : 0] ?? 'none')
    shown.push(name)
    const found = answer(name)
    if (found instanceof Error) throw found
    return found
  })
  const subject = clientOver(http, { maxRetries: 0, certificates })
  subject.client.learnGeneration(true)
  return { ...subject, shown }
}

describe('of two certificates', () => {
  it('the first is presented, and nothing more is asked where it is accepted', async () => {
    const two = new Two()
    const { client, shown } = over(two, () => OK)
    await client.entries(AGENT, SIGNAL)
    expect([shown, two.told]).toEqual([['new'], ['accepted new']])
  })

  it('the other is tried on a 401, and is remembered where it is accepted', async () => {
    const two = new Two()
    const { client, shown, limiter } = over(two, (name) => (name === 'old' ? OK : REFUSED))
    const open = limiter.opensIn('standard')
    await client.entries(AGENT, SIGNAL)
    expect([shown, two.told, open]).toEqual([['new', 'old'], ['accepted old'], 0])
  })

  it('a refusal of both costs one request more, not two, and is told once', async () => {
    const two = new Two()
    const { client, shown } = over(two, () => REFUSED)
    expect(codeOf(await client.entries(AGENT, SIGNAL).catch(thrown))).toBe('icp.unauthorized')
    expect([shown, two.told]).toEqual([['new', 'old'], ['refused icp.unauthorized']])
  })

  it('the request more is charged to the rate limiter', async () => {
    const { client, limiter } = over(new Two(), () => REFUSED)
    for (let n = 0; n < 3; n++) await client.entries(AGENT, SIGNAL).catch(thrown)
    expect(limiter.opensIn('standard')).toBe(0)
    await client.entries(AGENT, SIGNAL).catch(thrown)
    // Four calls were eight requests, which is all that the burst has.
    expect(limiter.opensIn('standard')).toBeGreaterThan(0)
  })

  it('a handshake that fails over the first counts like a 401', async () => {
    const two = new Two()
    const alert = new AgentError('icp.tls', 'alert', { details: { clientCertificate: true } })
    const { client, shown } = over(two, (name) => (name === 'old' ? OK : alert))
    await client.entries(AGENT, SIGNAL)
    expect([shown, two.told]).toEqual([['new', 'old'], ['accepted old']])
  })

  it('one that came while the first was refused is the other', async () => {
    const two = new Two(['old'])
    const { client, shown } = over(two, (name) => {
      if (name === 'new') return OK
      two.order = ['new', 'old']
      return REFUSED
    })
    await client.entries(AGENT, SIGNAL)
    expect([shown, two.told]).toEqual([['old', 'new'], ['accepted new']])
  })

  it.each([
    ['403', handler(403, 'Forbidden')],
    ['404', handler(404, 'Workspace not found')],
    ['429', handler(429, 'slow down')],
    ['500', handler(500, 'Failed')],
    ['401 for want of TLS', handler(401, 'TLS connection required')],
    ['silence', new AgentError('icp.timeout', 'no answer')],
  ])('%s is not about the certificate: the other is not tried, nothing is told', async (_what, answer) => {
    const two = new Two()
    const { client, shown } = over(two, () => answer)
    await client.entries(AGENT, SIGNAL).catch(thrown)
    expect([shown, two.told]).toEqual([['new'], []])
  })

  it('an administrator who has revoked the agent is told of, and no other is tried', async () => {
    const two = new Two()
    const { client, shown } = over(two, () => handler(403, 'Agent is not active'))
    expect(codeOf(await client.entries(AGENT, SIGNAL).catch(thrown))).toBe('icp.agent_inactive')
    expect([shown, two.told]).toEqual([['new'], ['inactive icp.agent_inactive']])
  })
})

describe('the issuance of JWT-SVIDs', () => {
  const request = { spiffeId: SpiffeId.parse(`spiffe://${TENANT}/web`), audience: ['db'] }

  it('tries the other certificate too', async () => {
    const two = new Two()
    const token = json(200, { spiffe_id: 'x', token: 'y' })
    const { client, shown } = over(two, (name) => (name === 'old' ? token : REFUSED))
    await client.issueJwt(request, SIGNAL)
    expect([shown, two.told]).toEqual([['new', 'old'], ['accepted old']])
  })

  it('never says that all are refused: that would lead to an attestation', async () => {
    const two = new Two()
    const { client } = over(two, () => REFUSED)
    expect(codeOf(await client.issueJwt(request, SIGNAL).catch(thrown))).toBe('icp.jwt_unauthorized')
    expect(two.told).toEqual([])
  })
})

describe('a server of the tenant API', () => {
  it('that refuses every renewal says nothing of the certificate', async () => {
    const two = new Two()
    const { client, shown } = over(two, () => handler(401, 'Agent certificate required'))
    client.learnGeneration(false)
    await client.renewAgent({ agentId: 'a', csrPem: 'CSR' }, SIGNAL).catch(thrown)
    expect([shown, two.told]).toEqual([['none'], []])
  })

  it('that answers without a certificate accepts the agent', async () => {
    const two = new Two()
    const { client, shown } = over(two, () => OK)
    client.learnGeneration(false)
    await client.entries(AGENT, SIGNAL)
    expect([shown, two.told]).toEqual([['none'], ['accepted null']])
  })
})
