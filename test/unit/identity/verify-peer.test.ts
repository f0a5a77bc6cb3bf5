import { createPublicKey, type KeyObject } from 'node:crypto'
import { KeyUsageFlags } from '@peculiar/x509'
import { beforeAll, describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { parseAuthority } from '../../../agent/identity/authority.js'
import { verifyPeer } from '../../../agent/identity/verify-peer.js'
import { TestCa, type Wish } from '../../fakes/ca.js'
import { ecKey } from '../../fakes/workload-messages.js'
import { detailsOf } from '../../support/details.js'

const NOW = Date.parse('2026-01-01T12:00:00Z')
const HOUR = 3_600_000
const TIMES = { notBefore: NOW - HOUR, notAfter: NOW + HOUR }
const ID = 'spiffe://one.example/web'
const url = (value: string) => ({ type: 'url' as const, value })

let one: TestCa
let two: TestCa
let key: KeyObject
beforeAll(async () => {
  one = await TestCa.create('One', TIMES)
  two = await TestCa.create('Two', TIMES)
  key = ecKey()
})

const bundlesOf = (...trusted: readonly (readonly [string, TestCa])[]) =>
  new Map(trusted.map(([name, ca]) => [name, { trustDomain: name, authorities: [parseAuthority(ca.der)] }]))
const issue = (ca: TestCa, wish: Partial<Wish> = {}) =>
  ca.issue(createPublicKey(key), { names: [url(ID)], ...TIMES, ...wish })
const outcomeOf = (chain: readonly Uint8Array[], bundles = bundlesOf(['one.example', one], ['two.example', two])) => {
  try {
    return verifyPeer({ chain, bundles, now: NOW }).uri
  } catch (error) {
    return error instanceof AgentError ? `${error.code} ${detailsOf(error)['check']}` : error
  }
}

describe('a peer', () => {
  it('is who its certificate says, by an authority of its own trust domain', async () => {
    expect(outcomeOf([await issue(one)])).toBe(ID)
    expect(outcomeOf([await issue(two, { names: [url('spiffe://two.example/api')] })])).toBe('spiffe://two.example/api')
  })

  it('is not who another trust domain says it is', async () => {
    expect(outcomeOf([await issue(two)])).toBe('svid.issuer_unknown chain')
    expect(outcomeOf([await issue(two), two.der])).toBe('svid.issuer_unknown chain')
  })

  it('of a trust domain without a bundle is nobody', async () => {
    const der = await issue(one, { names: [url('spiffe://three.example/web')] })
    expect(outcomeOf([der])).toBe('svid.issuer_unknown trust_domain')
    expect(outcomeOf([await issue(one)], new Map())).toBe('svid.issuer_unknown trust_domain')
  })

  it('may show intermediates, and its root', async () => {
    const below = await TestCa.create('Below', TIMES, one)
    expect(outcomeOf([await issue(below), below.der, one.der])).toBe(ID)
    expect(outcomeOf([await issue(below)])).toBe('svid.issuer_unknown chain')
  })

  it.each<[string, Partial<Wish>, string]>([
    ['two URI names', { names: [url(ID), url('spiffe://one.example/b')] }, 'uri_san'],
    ['no URI name', { names: [{ type: 'dns', value: 'one.example' }] }, 'uri_san'],
    ['a URI that is no SPIFFE ID', { names: [url('https://one.example/web')] }, 'spiffe_id'],
    ['the SPIFFE ID of a trust domain', { names: [url('spiffe://one.example')] }, 'path'],
    ['a CA certificate', { ca: {} }, 'ca'],
    ['a key usage of CAs', { keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign }, 'key_usage'],
    ['a signature that can be forged', { hash: 'SHA-1' }, 'signature_algorithm'],
    ['a certificate that has expired', { notAfter: NOW }, 'time'],
    ['a certificate that is not valid yet', { notBefore: NOW + 61_000 }, 'time'],
  ])('with %s is refused', async (_, wish, check) => {
    expect(outcomeOf([await issue(one, wish)])).toBe(`svid.invalid ${check}`)
  })

  it('without a certificate is refused', () => {
    expect(outcomeOf([])).toBe('svid.invalid encoding')
  })
})
