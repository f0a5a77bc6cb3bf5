import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeOf, type ErrorCode } from '../../../agent/errors.js'
import { parseAuthority } from '../../../agent/identity/authority.js'
import type { Entry } from '../../../agent/identity/entry.js'
import type { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { issueSvid } from '../../../agent/svids/issue-x509.js'
import type { FaultRequest } from '../../../dev/icp-server/faults.js'
import type { Flaw } from '../../../dev/icp-server/flaws.js'
import { rsaKey } from '../../fakes/keys.js'
import { csrFor } from '../support/dev-icp.js'
import { Servers, type Setup } from '../support/icp-client.js'

const SIGN = '/v1/workload/attest'
const signal = new AbortController().signal
const servers = new Servers()
let setup: Setup
let entry: Entry
let agent: SpiffeId

beforeAll(async () => {
  setup = await servers.setUp('tenant')
  agent = setup.agent
  setup.icp.setFault({ kind: 'bundle-served' })
  const evidence = { pid: 7, username: 'agent', hostname: 'node' }
  const node = await setup.client.attestNode(
    { evidence: { type: 'unix', evidence }, csrPem: await csrFor(agent.uri) },
    signal,
  )
  setup.present(await rsaKey(0), node)
  await setup.icp.createEntry({ spiffeId: 'spiffe://acme.example/web', selectors: { 'unix:uid': '1' } })
  const { entries } = await setup.client.entries(agent, signal)
  const [first] = entries
  if (!first) throw new TypeError('there is no entry')
  entry = first
})
afterAll(async () => {
  await setup[Symbol.asyncDispose]()
  await servers[Symbol.asyncDispose]()
})

/** One issuance, as sync does it: the SVID, or the code of the refusal. */
async function issue(client = setup.client, known: readonly string[] = []): Promise<string> {
  const ders = known.length > 0 ? await client.bundle(signal) : []
  try {
    const { svid } = await issueSvid(
      entry,
      agent,
      {
        keys: { take: () => rsaKey(1) },
        controlPlane: client,
        withCommonName: (attempt) => attempt('svid@localhost'),
        known: ders.map(parseAuthority),
        events: { authoritiesSkipped: () => undefined },
        now: Date.now,
      },
      signal,
    )
    return svid.spiffeId.uri
  } catch (error) {
    return codeOf(error)
  }
}

describe('an answer that lies is refused, and the next honest one is taken:', () => {
  test.each<[string, Flaw, ErrorCode]>([
    ['the name of somebody else', 'wrong-san', 'svid.invalid'],
    ['no name', 'no-uri', 'svid.invalid'],
    ['two names', 'two-uris', 'svid.invalid'],
    ['another key', 'foreign-key', 'svid.invalid'],
    ['another CA', 'other-ca', 'svid.issuer_unknown'],
    ['a bundle without the issuer', 'no-issuer', 'svid.issuer_unknown'],
    ['a certificate of tomorrow', 'not-yet-valid', 'svid.invalid'],
    ['a certificate of yesterday', 'expired', 'svid.invalid'],
    ['a CA', 'ca', 'svid.invalid'],
    ['a certificate that must not sign', 'no-digital-signature', 'svid.invalid'],
    ['the SPIFFE ID of another entry', 'other-spiffe-id', 'entry.shadowed'],
  ])('%s', async (_what, flaw, code) => {
    {
      using _lie = setup.icp.setFault({ kind: 'certificate', flaw, endpoint: SIGN })
      expect(await issue()).toBe(code)
      // Knowing the right issuer already makes no lie true.
      expect(await issue(setup.client, ['known'])).toBe(code)
    }
    expect(await issue()).toBe('spiffe://acme.example/web')
  })

  test('no bundle at all, when none is known, is made up for by the one that is published', async () => {
    using _lie = setup.icp.setFault({ kind: 'certificate', flaw: 'empty-bundle', endpoint: SIGN })
    expect(await issue()).toBe('spiffe://acme.example/web')
    using _none = setup.icp.setFault({ kind: 'status', status: 404, endpoint: '/bundle/:id' })
    expect(await issue()).toBe('svid.issuer_unknown')
  })

  test.each<[string, FaultRequest, ErrorCode]>([
    ['a hundred megabytes of JSON', { kind: 'huge-body' }, 'icp.too_large'],
    ['one byte a second', { kind: 'slow-body', interval_ms: 1_000 }, 'icp.timeout'],
    ['half a text', { kind: 'truncate' }, 'icp.bad_response'],
    ['a page of a proxy', { kind: 'html' }, 'icp.bad_response'],
    ['nothing, the connection breaks', { kind: 'drop', when: 'after' }, 'icp.unreachable'],
  ])('%s', async (_what, fault, code) => {
    const client = setup.clientWith({ timeoutMs: 1_500 })
    {
      using _lie = setup.icp.setFault({ ...fault, endpoint: SIGN })
      expect(await issue(client)).toBe(code)
    }
    expect(await issue(client)).toBe('spiffe://acme.example/web')
  })
})
