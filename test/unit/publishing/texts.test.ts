import { beforeAll, describe, expect, it } from 'vitest'
import { parseAuthority } from '../../../agent/identity/authority.js'
import { publishedTexts } from '../../../agent/publishing/texts.js'
import type { TestCa } from '../../fakes/ca.js'
import { rootCa } from '../../fakes/workload-messages.js'

let ca: TestCa
beforeAll(async () => {
  ca = await rootCa()
})
const served = (...names: readonly string[]) =>
  new Map(names.map((trustDomain) => [trustDomain, { trustDomain, authorities: [parseAuthority(ca.der)] }]))
const wanted = { trustDomain: 'one.example', federated: [], pemKey: 'ca.crt', spiffeKey: null }
const pem = () => expect.stringMatching(/^-----BEGIN CERTIFICATE-----\n/)

describe('what is published', () => {
  it('is the bundle of the trust domain, and of others only those that are named', () => {
    const x509 = served('one.example', 'two.example', 'three.example')
    const { texts, absent } = publishedTexts({ ...wanted, federated: ['two.example'] }, x509, null)
    expect(Object.fromEntries(texts?.files ?? [])).toEqual({ 'ca.crt': pem(), 'federated.two.example.pem': pem() })
    expect(absent).toEqual([])
  })

  it('is nothing where the agent serves no authority of the trust domain: never an empty bundle', () => {
    const empty = new Map([['one.example', { trustDomain: 'one.example', authorities: [] }]])
    for (const x509 of [served('two.example'), empty, new Map()]) {
      expect(publishedTexts(wanted, x509, null)).toEqual({ texts: null, absent: ['one.example'] })
    }
  })

  it('goes on without another trust domain that is gone', () => {
    const both = { ...wanted, federated: ['two.example'] }
    const { texts, absent } = publishedTexts(both, served('one.example'), null)
    expect([[...(texts?.files.keys() ?? [])], absent]).toEqual([['ca.crt'], ['two.example']])
  })

  it('waits with a SPIFFE bundle for the keys of JWT-SVIDs, and has those of its trust domain', () => {
    const json = { ...wanted, spiffeKey: 'bundle.json' }
    const x509 = served('one.example')
    expect(publishedTexts(json, x509, null).texts).toBeNull()
    const jwks = (kid: string) => JSON.stringify({ keys: [{ kty: 'EC', use: 'jwt-svid', kid }] })
    const jwt = new Map([
      ['one.example', jwks('ours')],
      ['two.example', jwks('theirs')],
    ])
    const document = JSON.parse(publishedTexts(json, x509, jwt).texts?.files.get('bundle.json') ?? '')
    expect(document.keys).toMatchObject([{ use: 'x509-svid', x5c: [expect.any(String)] }, { kid: 'ours' }])
    const none = JSON.parse(publishedTexts(json, x509, new Map()).texts?.files.get('bundle.json') ?? '')
    expect(none.keys).toHaveLength(1)
  })
})
