import { createPublicKey } from 'node:crypto'
import { Extension } from '@peculiar/x509'
import { describe, expect, it } from 'vitest'
import { parseCertificate } from '../../../agent/crypto/certificate.js'
import { AgentError } from '../../../agent/errors.js'
import { parseAuthority } from '../../../agent/identity/authority.js'
import { verifyChain } from '../../../agent/identity/verify-chain.js'
import { TestCa, type Wish } from '../../fakes/ca.js'
import { generalName, nameConstraints } from '../../fakes/der.js'
import { rsaKey } from '../../fakes/keys.js'

const NOW = Date.parse('2026-01-01T12:00:00Z')
const HOUR = 3_600_000
const TIMES = { notBefore: NOW - HOUR, notAfter: NOW + HOUR }

const ca = (name: string, parent: TestCa | null = null, wish: Partial<Wish> = {}) =>
  TestCa.create(name, { ...TIMES, ...wish }, parent)
const leafOf = async (issuer: TestCa, wish: Partial<Wish>) =>
  await issuer.issue(createPublicKey(await rsaKey()), {
    ...TIMES,
    ...wish,
    names: [{ type: 'url', value: 'spiffe://example.org/web' }],
  })
const constrained = (...bases: Buffer[]) => ({ extra: [new Extension('2.5.29.30', true, nameConstraints(bases))] })

async function outcomeOf(issuer: TestCa, intermediates: TestCa[], anchors: TestCa[], now = NOW, wish = {}) {
  const leaf = parseCertificate(await leafOf(issuer, wish))
  try {
    const { path, anchor } = verifyChain({
      leaf,
      intermediates: intermediates.map(({ der }) => parseCertificate(der)),
      authorities: anchors.map(({ der }) => parseAuthority(der)),
      now,
      skewMs: 60_000,
    })
    const labelOf = (one: TestCa) => (one.parent ? `${one.name}<${one.parent.name}` : one.name)
    const names = [issuer, ...intermediates, ...anchors].map((one) => [
      parseCertificate(one.der).fingerprint,
      labelOf(one),
    ])
    const nameOf = (fingerprint: string) => new Map(names as [string, string][]).get(fingerprint)
    return [...path.slice(1).map(({ fingerprint }) => nameOf(fingerprint)), `^${nameOf(anchor.fingerprint)}`].join(' ')
  } catch (error) {
    return error instanceof AgentError ? error.code : error
  }
}

describe('a signature with SHA-1', () => {
  const old = { hash: 'SHA-1' as const }

  it('is of no concern on a trust anchor: what is checked is what it signed', async () => {
    const root = await ca('root', null, old)
    const between = await ca('between', root)
    expect(await outcomeOf(root, [], [root])).toBe('^root')
    expect(await outcomeOf(between, [between], [root])).toBe('between<root ^root')
    // Nor where the chain holds it as well.
    expect(await outcomeOf(between, [root, between], [root])).toBe('between<root ^root')
  })

  it('is not followed: neither on an intermediate nor on the leaf', async () => {
    const root = await ca('root')
    const between = await ca('between', root, old)
    expect(await outcomeOf(between, [between], [root])).toBe('svid.invalid')
    expect(await outcomeOf(root, [], [root], NOW, old)).toBe('svid.invalid')
    // As an anchor of its own it is one like any other.
    expect(await outcomeOf(between, [], [between])).toBe('^between<root')
  })

  it('is said by its name', async () => {
    const root = await ca('root')
    const between = await ca('between', root, old)
    const outcomeOf = () =>
      verifyChain({
        leaf: parseCertificate(between.der),
        intermediates: [],
        authorities: [parseAuthority(root.der)],
        now: NOW,
        skewMs: 0,
      })
    expect(outcomeOf).toThrow(/signed with ecdsa-with-SHA1, which is weak/)
  })
})

describe('the path of a certificate', () => {
  it('ends at the authority that signed it', async () => {
    const root = await ca('root')
    expect(await outcomeOf(root, [], [root])).toBe('^root')
  })

  it('leaves the trust anchor out, and what it does not need', async () => {
    const root = await ca('root')
    const other = await ca('other')
    expect(await outcomeOf(root, [root, other], [other, root])).toBe('^root')
  })

  it('goes through intermediates in any order', async () => {
    const root = await ca('root')
    const upper = await ca('upper', root)
    const lower = await ca('lower', upper)
    expect(await outcomeOf(lower, [upper, lower], [root])).toBe('lower<upper upper<root ^root')
    expect(await outcomeOf(lower, [lower, root, upper], [root])).toBe('lower<upper upper<root ^root')
  })

  it('reaches for the root where the intermediate is an authority as well: peers may know only the root', async () => {
    const root = await ca('root')
    const middle = await ca('middle', root)
    expect(await outcomeOf(middle, [middle], [middle, root])).toBe('middle<root ^root')
    expect(await outcomeOf(middle, [], [middle, root])).toBe('^middle<root')
    expect(await outcomeOf(middle, [middle], [middle])).toBe('^middle<root')
  })

  it('is unknown where nobody signed it, even under the name of an authority', async () => {
    const root = await ca('root')
    const impostor = await ca('root')
    expect(await outcomeOf(root, [], [])).toBe('svid.issuer_unknown')
    expect(await outcomeOf(impostor, [], [root])).toBe('svid.issuer_unknown')
    expect(await outcomeOf(impostor, [impostor], [root])).toBe('svid.issuer_unknown')
  })

  it('does not go through an intermediate that is no CA', async () => {
    const root = await ca('root')
    const leafLike = await ca('leaf-like', root, { ca: undefined as never })
    expect(await outcomeOf(leafLike, [leafLike], [root])).toBe('svid.invalid')
  })

  it("obeys path lengths, the anchor's too", async () => {
    const root = await ca('root', null, { ca: { pathLength: 0 } })
    const middle = await ca('middle', root)
    expect(await outcomeOf(root, [], [root])).toBe('^root')
    expect(await outcomeOf(middle, [middle], [root])).toBe('svid.invalid')
    const deeper = await ca('root', null, { ca: { pathLength: 1 } })
    const below = await ca('middle', deeper)
    expect(await outcomeOf(below, [below], [deeper])).toBe('middle<root ^root')
  })

  it("obeys name constraints, the anchor's too", async () => {
    const right = await ca('root', null, constrained(generalName.uri('example.org')))
    expect(await outcomeOf(right, [], [right])).toBe('^root')
    const wrong = await ca('root', null, constrained(generalName.uri('other.org')))
    expect(await outcomeOf(wrong, [], [wrong])).toBe('svid.invalid')
    const root = await ca('root')
    const middle = await ca('middle', root, constrained(generalName.uri('other.org')))
    expect(await outcomeOf(middle, [middle], [root])).toBe('svid.invalid')
  })

  it('ends where an issuer has expired or begins too far in the future', async () => {
    const root = await ca('root', null, { notBefore: NOW, notAfter: NOW + HOUR })
    expect(await outcomeOf(root, [], [root], NOW + HOUR - 1)).toBe('^root')
    expect(await outcomeOf(root, [], [root], NOW + HOUR)).toBe('svid.invalid')
    expect(await outcomeOf(root, [], [root], NOW - 60_000)).toBe('^root')
    expect(await outcomeOf(root, [], [root], NOW - 60_001)).toBe('svid.invalid')
  })

  it('takes the valid one of two authorities with one key', async () => {
    const root = await ca('root')
    const expired = await TestCa.create('root', { notBefore: NOW - 2 * HOUR, notAfter: NOW - HOUR }, null, root.key)
    expect(await outcomeOf(root, [], [expired, root])).toBe('^root')
  })

  it('wants the issuer by name as well as by key', async () => {
    const root = await ca('root')
    const renamed = await TestCa.create('renamed', TIMES, null, root.key)
    expect(await outcomeOf(root, [], [renamed])).toBe('svid.issuer_unknown')
  })

  it('ends at a self-signed anchor rather than at one that another authority has signed', async () => {
    const root = await ca('root')
    const crossed = await TestCa.create('root', TIMES, await ca('elder'), root.key)
    expect(await outcomeOf(root, [], [crossed, root])).toBe('^root')
    expect(await outcomeOf(root, [], [crossed])).toBe('^root<elder')
  })

  it('goes through the change of a root to a new key', async () => {
    const old = await ca('root')
    const young = await ca('root')
    const bridge = await TestCa.create('root', TIMES, old, young.key)
    expect(await outcomeOf(young, [bridge], [old])).toBe('root<root ^root')
  })

  it('is not searched for ever among certificates that all sign each other', async () => {
    const [a, b] = [await ca('a'), await ca('b')]
    const again = (name: string, n: number, parent: TestCa, key = parent.key) =>
      TestCa.create(name, { ...TIMES, notAfter: TIMES.notAfter + n * 1000 }, parent, key)
    const crowd = await Promise.all([1, 2, 3, 4].flatMap((n) => [again('a', n, b, a.key), again('b', n, a, b.key)]))
    expect(await outcomeOf(a, crowd, [await ca('stranger')])).toBe('svid.invalid')
    expect(await outcomeOf(a, crowd.slice(0, 2), [await ca('stranger')])).toBe('svid.issuer_unknown')
  })
})
