import { detailsOf } from '../support/details.js'
import 'reflect-metadata'
import { createPublicKey } from 'node:crypto'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from '@peculiar/x509'
import { expect } from 'vitest'
import type { AgentError } from '../../agent/errors.js'
import { parseAuthority } from '../../agent/identity/authority.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import { verifyX509Svid } from '../../agent/identity/verify-svid.js'
import { TestCa, type Wish } from '../fakes/ca.js'
import { generalName, nameConstraints } from '../fakes/der.js'
import { ecKey } from '../fakes/workload-messages.js'
import { first, X509Watch } from './call.js'
import { line } from './line.js'
import { elsewhere, ownScene, type Target } from './target.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const TIMES = { notBefore: NOW - 3_600_000, notAfter: NOW + 3_600_000 }
const ID = 'spiffe://td.example/web'
const url = (value: string) => ({ type: 'url' as const, value })

/** Leaves and authorities that the agent serves, parsed by another library than the agent's. */
async function served({ address }: Pick<Target, 'address'>) {
  const { svids } = await first(new X509Watch(address, 'spiffe'))
  expect(svids.length).toBeGreaterThan(0)
  return svids.map((svid) => ({
    ...svid,
    certificate: new X509Certificate(svid.leaf.raw),
    authorities: svid.bundle.map(({ raw }) => new X509Certificate(raw)),
  }))
}

/** How the agent judges a leaf that its server might send: null where it would serve it, else the rule that it breaks. */
async function outcomeOf(wish: Partial<Wish>, spiffeId = ID, ca: Partial<Wish> = {}): Promise<string | null> {
  if (elsewhere) return null
  const root = await TestCa.create('root', { ...TIMES, ...ca })
  const key = ecKey()
  const leaf = await root.issue(createPublicKey(key), { ...TIMES, names: [url(spiffeId)], ...wish })
  const expected = SpiffeId.parse(spiffeId)
  try {
    const authorities = [parseAuthority(root.der)]
    verifyX509Svid({ chain: [leaf], key, expected, named: spiffeId, authorities, now: NOW })
    return null
  } catch (error) {
    return String(detailsOf(error as AgentError)['check'])
  }
}

/** A flaw in what the server issues never reaches a workload. */
async function refuses(flaw: Parameters<Awaited<ReturnType<typeof ownScene>>['refused']>[0]): Promise<void> {
  if (elsewhere) return
  const { code, served: wasServed } = await (await ownScene()).refused(flaw)
  expect(code, flaw).toMatch(/^svid\./)
  expect(wasServed, flaw).toBe(false)
}

line('C-01', async (target) => {
  for (const { certificate } of await served(target)) {
    const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items ?? []
    expect(names.filter(({ type }) => type === 'url')).toHaveLength(1)
  }
  await refuses('two-uris')
})

line('C-02', async (target) => {
  for (const { spiffeId } of await served(target)) expect(spiffeId).toMatch(/^spiffe:\/\/[^/]+\/./)
  if (!elsewhere) expect(await outcomeOf({}, 'spiffe://td.example')).toBe('path')
})

line('C-03', async (target) => {
  for (const { certificate } of await served(target)) {
    const critical = certificate.getExtension(SubjectAlternativeNameExtension)?.critical
    if (certificate.subject === '') expect(critical).toBe(true)
  }
  if (elsewhere) return
  expect(await outcomeOf({ subject: '', sanCritical: false })).toBe('san_critical')
  expect(await outcomeOf({ subject: '', sanCritical: true })).toBeNull()
})

line('C-04', async (target) => {
  for (const { certificate, authorities } of await served(target)) {
    expect(certificate.getExtension(BasicConstraintsExtension)?.ca ?? false).toBe(false)
    for (const one of authorities) expect(one.getExtension(BasicConstraintsExtension)?.ca).toBe(true)
  }
  await refuses('ca')
})

line('C-05', async (target) => {
  for (const { certificate } of await served(target)) {
    expect(certificate.getExtension(KeyUsagesExtension)?.critical).toBe(true)
  }
  if (elsewhere) return
  expect(await outcomeOf({ keyUsage: null })).toBe('key_usage')
  expect(await outcomeOf({ keyUsageCritical: false })).toBe('key_usage')
})

line('C-06', async (target) => {
  for (const { certificate, authorities } of await served(target)) {
    const usages = certificate.getExtension(KeyUsagesExtension)?.usages ?? 0
    expect(usages & KeyUsageFlags.digitalSignature).not.toBe(0)
    expect(usages & (KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)).toBe(0)
    for (const one of authorities) {
      expect((one.getExtension(KeyUsagesExtension)?.usages ?? 0) & KeyUsageFlags.keyCertSign).not.toBe(0)
    }
  }
  await refuses('no-digital-signature')
})

line('C-07', async (target) => {
  for (const { certificate } of await served(target)) {
    const usages = certificate.getExtension(ExtendedKeyUsageExtension)?.usages ?? []
    expect(usages).toEqual(expect.arrayContaining(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']))
  }
  if (!elsewhere) expect(await outcomeOf({ extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] })).toBe('extended_key_usage')
})

line('C-08', async (target) => {
  for (const { authorities } of await served(target)) {
    const names = authorities.flatMap((one) => one.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [])
    for (const { type, value } of names) if (type === 'url') expect(value).toMatch(/^spiffe:\/\/[^/]+$/)
  }
  if (elsewhere) return
  expect(await outcomeOf({}, ID, { names: [url('spiffe://td.example')] })).toBeNull()
  expect(await outcomeOf({}, ID, { names: [url('spiffe://td.example/ca')] })).toBe('authority')
})

line.local('C-09', async () => {
  const constrained = (host: string) => {
    const value = nameConstraints([generalName.uri(host)])
    return { extra: [new Extension('2.5.29.30', true, value)] }
  }
  expect(await outcomeOf({}, ID, constrained('td.example'))).toBeNull()
  expect(await outcomeOf({}, ID, constrained('other.example'))).toBe('chain')
})

line('C-10', async (target) => {
  for (const { leaf, chain, bundle } of await served(target)) {
    const top = chain.at(-1) ?? leaf
    expect(bundle.some((authority) => top.checkIssued(authority) && top.verify(authority.publicKey))).toBe(true)
    expect(Date.parse(leaf.validTo)).toBeGreaterThan(Date.now())
    expect(Date.parse(leaf.validFrom)).toBeLessThanOrEqual(Date.now() + 60_000)
  }
  await refuses('no-issuer')
  await refuses('expired')
  await refuses('foreign-key')
})
