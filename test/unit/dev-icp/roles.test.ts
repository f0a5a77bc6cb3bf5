import { describe, expect, test } from 'vitest'
import { type CsrContent, grant, roles } from '../../../dev/icp-server/roles.js'

const OPTIONS = {
  accountId: 'account',
  workloadTrustDomain: 'acme.example',
  agentTtlSeconds: 3600,
  basicConstraints: false,
}
const { agent, workload } = roles(OPTIONS)
const csr = (change: Partial<CsrContent> = {}): CsrContent => ({
  keyType: 'rsa',
  keyBits: 2048,
  commonName: 'svid@localhost',
  dnsNames: [],
  emails: [],
  ipAddresses: [],
  uris: ['spiffe://account/agent/n'],
  ...change,
})
const granted = (change: Partial<CsrContent>, fallback = 'spiffe://account/agent/n') => {
  const result = grant(agent, csr(change), fallback)
  return typeof result === 'string' ? result : { ...result }
}

describe('a role of the PKI', () => {
  test('grants exactly the URI of the CSR, and turns an e-mail CN into an e-mail name', () => {
    expect(granted({})).toEqual({
      commonName: 'svid@localhost',
      dnsNames: [],
      emails: ['svid@localhost'],
      ipAddresses: [],
      uris: ['spiffe://account/agent/n'],
    })
  })

  test('turns the CN localhost into a DNS name, once', () => {
    expect(granted({ commonName: 'localhost', dnsNames: ['localhost'] })).toMatchObject({ dnsNames: ['localhost'] })
  })

  test.each([
    ['an EC key', { keyType: 'other' as const, keyBits: 0 }],
    ['a short key', { keyBits: 1024 }],
    ['a host name as CN', { commonName: 'web' }],
    ['an empty CN, because the server’s own name takes its place', { commonName: '' }],
    ['a CN with two at signs', { commonName: 'a@b@localhost' }],
    ['a DNS name', { dnsNames: ['web.acme.example'] }],
    ['an e-mail address elsewhere', { emails: ['a@example.org'] }],
    ['an IP address', { ipAddresses: ['127.0.0.1'] }],
    ['a URI in another trust domain', { uris: ['spiffe://acme.example/x'] }],
    ['a good and a bad URI', { uris: ['spiffe://account/agent/n', 'https://example.org/'] }],
  ])('refuses %s', (_what, change) => {
    expect(granted(change)).toBeTypeOf('string')
  })

  test('grants a CSR without a URI: nobody will find a SPIFFE ID in it', () => {
    expect(granted({ uris: [] })).toMatchObject({ uris: [] })
  })

  test('takes the server’s own name for an empty CN, and refuses it by the same rule', () => {
    expect(grant(agent, csr({ commonName: '' }), 'localhost')).toMatchObject({ commonName: 'localhost' })
    expect(grant(agent, csr({ commonName: '' }), '')).toMatchObject({ commonName: '' })
  })

  test('for workloads lies in their own trust domain and allows names below it', () => {
    const names = { uris: ['spiffe://acme.example/web'], dnsNames: ['web.acme.example'], ipAddresses: ['10.0.0.1'] }
    expect(grant(workload, csr(names), '')).toMatchObject(names)
    expect(grant(workload, csr({ ...names, dnsNames: ['acme.example'] }), '')).toBeTypeOf('string')
    expect(grant(workload, csr(), '')).toBeTypeOf('string')
  })

  test('clamps agents to two hours, or to what they are configured for', () => {
    expect(agent.maxTtlSeconds).toBe(7200)
    expect(roles({ ...OPTIONS, agentTtlSeconds: 86_400 }).agent.maxTtlSeconds).toBe(86_400)
    expect(workload.maxTtlSeconds).toBe(86_400)
  })
})
