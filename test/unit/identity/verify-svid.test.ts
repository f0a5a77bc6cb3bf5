import { createPublicKey, type KeyObject } from 'node:crypto'
import { Extension, KeyUsageFlags } from '@peculiar/x509'
import { beforeAll, describe, expect, it } from 'vitest'
import { CLIENT_AUTH, SERVER_AUTH } from '../../../agent/crypto/extensions.js'
import { pkcs8Der } from '../../../agent/crypto/keys.js'
import { AgentError } from '../../../agent/errors.js'
import { parseAuthority } from '../../../agent/identity/authority.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { type VerifyOptions, verifyX509Svid } from '../../../agent/identity/verify-svid.js'
import { TestCa, type Wish } from '../../fakes/ca.js'
import { rsaKey } from '../../fakes/keys.js'
import { detailsOf } from '../../support/details.js'

const NOW = Date.parse('2026-01-01T12:00:00Z')
const HOUR = 3_600_000
const TIMES = { notBefore: NOW - 30_000, notAfter: NOW + HOUR }
const ID = SpiffeId.parse('spiffe://example.org/web')
const url = (value: string) => ({ type: 'url' as const, value })

let ca: TestCa
let key: KeyObject
let otherKey: KeyObject
beforeAll(async () => {
  ca = await TestCa.create('Root', { notBefore: NOW - HOUR, notAfter: NOW + 24 * HOUR })
  key = await rsaKey(0)
  otherKey = await rsaKey(1)
})

const verify = async (wish: Partial<Wish> = {}, options: Partial<VerifyOptions> = {}) =>
  verifyX509Svid({
    chain: [await ca.issue(createPublicKey(key), { names: [url(ID.uri)], ...TIMES, ...wish })],
    key,
    expected: ID,
    named: ID.uri,
    authorities: [parseAuthority(ca.der)],
    now: NOW,
    ...options,
  })
const outcomeOf = async (wish: Partial<Wish> = {}, options: Partial<VerifyOptions> = {}) => {
  try {
    await verify(wish, options)
    return 'accepted'
  } catch (error) {
    return error instanceof AgentError ? `${error.code} ${detailsOf(error)['check']}` : error
  }
}

describe('an X.509-SVID', () => {
  it('is what was asked for, with its key, its times and the authority above it', async () => {
    const svid = await verify({ serial: '00ab01' })
    expect(svid).toMatchObject({
      spiffeId: ID,
      serial: 'ab:01',
      ...TIMES,
      authority: parseAuthority(ca.der).fingerprint,
    })
    expect(svid.chain).toHaveLength(1)
    expect(Buffer.from(svid.privateKey.reveal()).equals(Buffer.from(pkcs8Der(key)))).toBe(true)
    expect(JSON.stringify(svid)).toContain('[redacted]')
  })

  it('is served without the trust anchor that came with it', async () => {
    const leaf = await ca.issue(createPublicKey(key), { names: [url(ID.uri)], ...TIMES })
    expect((await verify({}, { chain: [leaf, ca.der] })).chain).toEqual([leaf])
  })

  it('may carry names of other forms, as common names of the PKI bring them', async () => {
    const names = [
      url(ID.uri),
      { type: 'dns' as const, value: 'localhost' },
      { type: 'email' as const, value: 'svid@localhost' },
    ]
    expect(await outcomeOf({ names, subject: 'svid@localhost' })).toBe('accepted')
  })

  it.each<[string, string, Partial<Wish>, Partial<VerifyOptions>]>([
    ['C-01 has exactly one URI', 'uri_san', { names: [url(ID.uri), url('spiffe://example.org/db')] }, {}],
    ['C-01 has exactly one URI, also when both are equal', 'uri_san', { names: [url(ID.uri), url(ID.uri)] }, {}],
    ['C-01 has a URI', 'uri_san', { names: [{ type: 'dns', value: 'web' }] }, {}],
    ['C-01 has names at all', 'uri_san', { names: [] }, {}],
    ["is for the entry's SPIFFE ID", 'spiffe_id', { names: [url('spiffe://example.org/db')] }, {}],
    ['is for it letter by letter', 'spiffe_id', { names: [url('spiffe://example.org/Web')] }, {}],
    ['is what the answer names', 'named', {}, { named: 'spiffe://example.org/db' }],
    [
      'C-02 has a path',
      'path',
      { names: [url('spiffe://example.org')] },
      { expected: SpiffeId.parse('spiffe://example.org'), named: 'spiffe://example.org' },
    ],
    ['C-03 has critical names where its subject is empty', 'san_critical', { sanCritical: false }, {}],
    ['C-04 is no CA', 'ca', { ca: {} }, {}],
    ['C-05 has a key usage', 'key_usage', { keyUsage: null }, {}],
    ['C-05 has a critical key usage', 'key_usage', { keyUsageCritical: false }, {}],
    ['C-06 may sign digitally', 'key_usage', { keyUsage: KeyUsageFlags.keyEncipherment }, {}],
    [
      'C-06 may not sign certificates',
      'key_usage',
      { keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign },
      {},
    ],
    [
      'C-06 may not sign revocation lists',
      'key_usage',
      { keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.cRLSign },
      {},
    ],
    ['C-07 is for clients too', 'extended_key_usage', { extendedKeyUsage: [SERVER_AUTH] }, {}],
    ['C-07 is for servers too', 'extended_key_usage', { extendedKeyUsage: [CLIENT_AUTH] }, {}],
    [
      'C-10 has no critical extension that nobody understands',
      'critical_extension',
      { extra: [new Extension('1.2.3', true, Buffer.of(5, 0))] },
      {},
    ],
    ['is valid already', 'time', {}, { now: TIMES.notBefore - 60_001 }],
    ['is valid still', 'time', {}, { now: TIMES.notAfter }],
    ['has a chain', 'encoding', {}, { chain: [] }],
    ['is a certificate', 'encoding', {}, { chain: [Buffer.from('garbage')] }],
    ['is not signed with SHA-1', 'signature_algorithm', { hash: 'SHA-1' }, {}],
    ['has no endless chain', 'encoding', {}, { chain: Array<Uint8Array>(11).fill(new Uint8Array()) }],
  ])('%s', async (_fact, check, wish, options) => {
    expect(await outcomeOf(wish, options)).toBe(`svid.invalid ${check}`)
  })

  it('is for our key', async () => {
    expect(await outcomeOf({}, { key: otherKey })).toBe('svid.invalid public_key')
  })

  it('C-07 needs no extended key usage', async () => {
    expect(await outcomeOf({ extendedKeyUsage: null })).toBe('accepted')
  })

  it('may begin within the skew, and not end within it', async () => {
    expect(await outcomeOf({}, { now: TIMES.notBefore - 60_000 })).toBe('accepted')
    expect(await outcomeOf({}, { now: TIMES.notBefore - 1, skewMs: 0 })).toBe('svid.invalid time')
    expect(await outcomeOf({}, { now: TIMES.notAfter - 1 })).toBe('accepted')
  })

  it('of an issuer that is in no bundle is told apart from a wrong one', async () => {
    expect(await outcomeOf({}, { authorities: [] })).toBe('svid.issuer_unknown chain')
    const other = await TestCa.create('Root', TIMES)
    expect(await outcomeOf({}, { authorities: [parseAuthority(other.der)] })).toBe('svid.issuer_unknown chain')
  })

  it('C-08 of an authority with a SPIFFE ID that has a path is refused', async () => {
    const named = await TestCa.create('Root', { ...TIMES, names: [url('spiffe://example.org/ca')] })
    const leaf = await named.issue(createPublicKey(key), { names: [url(ID.uri)], ...TIMES })
    const { fingerprint, notBefore, notAfter } = parseAuthority(ca.der)
    const authorities = [{ der: named.der, fingerprint, notBefore, notAfter }]
    expect(await outcomeOf({}, { chain: [leaf], authorities })).toBe('svid.invalid chain')
  })

  it('never says in an error what the key is', async () => {
    const error = await verify({}, { key: otherKey }).catch((thrown: unknown) => thrown)
    expect(String(error)).not.toMatch(/PRIVATE|MII/)
  })
})
