import { createPublicKey } from 'node:crypto'
import { expect } from 'vitest'
import { BundlesWatch, first, X509Watch } from './call.js'
import type { Svid } from './decode.js'
import { line } from './line.js'
import type { Target } from './target.js'

/** Every SVID that the agent serves, in every dialect. */
async function everySvid({ address, dialects }: Target, look: (svid: Svid) => void): Promise<void> {
  for (const dialect of dialects) {
    const { svids } = await first(new X509Watch(address, dialect))
    expect(svids.length).toBeGreaterThan(0)
    for (const svid of svids) look(svid)
  }
}

const trustDomain = (uri: string) => /^spiffe:\/\/[^/]+/.exec(uri)?.[0] ?? ''

line('X-01', async (target) => {
  await everySvid(target, ({ spiffeId }) => expect(spiffeId).not.toBe(''))
})

line('X-02', async (target) => {
  await everySvid(target, ({ spiffeId, bytes }) => {
    expect(spiffeId).toMatch(/^spiffe:\/\//)
    for (const part of [bytes.chain, bytes.key, bytes.bundle]) expect(part.length).toBeGreaterThan(0)
  })
})

line('X-03', async ({ address }) => {
  const { svids } = await first(new X509Watch(address, 'spiffe'))
  for (const { bytes, chain, bundle } of svids) {
    expect(Buffer.concat(chain.map(({ raw }) => raw))).toEqual(Buffer.from(bytes.chain))
    expect(Buffer.from(bytes.chain).includes('-----BEGIN')).toBe(false)
    for (const [i, certificate] of chain.entries()) {
      const issuer = chain[i + 1]
      if (issuer) expect(certificate.verify(issuer.publicKey)).toBe(true)
      // What everybody has as an anchor need not be sent.
      const selfSigned = certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)
      expect(selfSigned && bundle.some(({ raw }) => raw.equals(certificate.raw))).toBe(false)
    }
  }
})

line('X-04', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    for (const { bytes, key } of (await first(new X509Watch(address, dialect))).svids) {
      const pem = key.export({ type: 'pkcs8', format: 'pem' })
      const pkcs8 = dialect === 'spiffe' ? key.export({ type: 'pkcs8', format: 'der' }) : Buffer.from(pem)
      expect(Buffer.from(bytes.key).equals(pkcs8)).toBe(true)
    }
  }
})

line('X-05', async ({ address }) => {
  const { svids } = await first(new X509Watch(address, 'spiffe'))
  const bundles = await first(new BundlesWatch(address, 'spiffe'))
  for (const { spiffeId, bundle, bytes } of svids) {
    expect(Buffer.concat(bundle.map(({ raw }) => raw))).toEqual(Buffer.from(bytes.bundle))
    const own = bundles[trustDomain(spiffeId)] ?? []
    expect(bundle.map(({ fingerprint256 }) => fingerprint256)).toEqual(own.map(({ fingerprint256 }) => fingerprint256))
  }
})

line('X-06', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    for (const crl of (await first(new X509Watch(address, dialect))).crls) expect(crl[0]).toBe(0x30)
  }
})

line('X-07', async ({ address }) => {
  const { svids, federated } = await first(new X509Watch(address, 'spiffe'))
  for (const name of Object.keys(federated)) {
    expect(name).toMatch(/^spiffe:\/\/[a-z0-9._-]+$/)
    expect(svids.map(({ spiffeId }) => trustDomain(spiffeId))).not.toContain(name)
  }
})

line('X-08', async (target) => {
  await everySvid(target, ({ spiffeId, leaf, key }) => {
    expect(leaf.subjectAltName?.split(', ').filter((name) => name.startsWith('URI:'))).toEqual([`URI:${spiffeId}`])
    expect(leaf.publicKey.equals(createPublicKey(key))).toBe(true)
  })
})

line('X-09', async ({ address }) => {
  const hints = (await first(new X509Watch(address, 'spiffe'))).svids.map(({ hint }) => hint).filter(Boolean)
  expect(new Set(hints).size).toBe(hints.length)
})

line('X-10', async ({ address }) => {
  const { svids } = await first(new X509Watch(address, 'spiffe'))
  for (const { hint } of svids) expect(Buffer.byteLength(hint)).toBeLessThanOrEqual(1024)
})

line.controlled('X-11', async ({ address, server, web, addEntry }) => {
  const younger = [await addEntry('/a-younger'), await addEntry('/b-younger')]
  const expected = [web, ...younger.map(({ spiffeId }) => spiffeId)]
  for (const dialect of ['spiffe', 'authsec'] as const) {
    using watch = new X509Watch(address, dialect)
    const { svids } = await watch.until((message) => message.svids.length === 3)
    expect(svids.map(({ spiffeId }) => spiffeId)).toEqual(expected)
    // Nor did a message before it begin with another one.
    for (const message of watch.seen) expect(message.svids[0]?.spiffeId).toBe(web)
  }
  for (const { id } of younger) await server.deleteEntry(id)
})

line('X-12', async ({ address }) => {
  const { svids } = await first(new X509Watch(address, 'spiffe'))
  const bundles = await first(new BundlesWatch(address, 'spiffe'))
  for (const name of Object.keys(bundles)) expect(name).toMatch(/^spiffe:\/\/[a-z0-9._-]+$/)
  for (const { spiffeId } of svids) expect(Object.keys(bundles)).toContain(trustDomain(spiffeId))
})

line('X-13', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    const bundles = Object.values(await first(new BundlesWatch(address, dialect)))
    expect(bundles.length).toBeGreaterThan(0)
    for (const authority of bundles.flat()) expect(authority.ca).toBe(true)
  }
})
