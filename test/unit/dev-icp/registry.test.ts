import { describe, expect, test } from 'vitest'
import { Registry } from '../../../dev/icp-server/registry.js'

const SELECTORS = { 'unix:uid': '1' }
const web = { spiffeId: 'spiffe://account/web', selectors: SELECTORS }

describe('the registry', () => {
  test('keeps one entry per SPIFFE ID, also when one is renamed or deleted', () => {
    const registry = new Registry(['account'])
    const first = registry.createEntry(web, 1)
    expect(() => registry.createEntry(web, 2)).toThrow(expect.objectContaining({ status: 409 }))
    registry.updateEntry(first.id, { ...web, spiffeId: 'spiffe://account/site' }, 3)
    const second = registry.createEntry(web, 4)
    expect(() => registry.updateEntry(second.id, { ...web, spiffeId: 'spiffe://account/site' }, 5)).toThrow(
      expect.objectContaining({ status: 409 }),
    )
    expect(registry.entryBySpiffeId('spiffe://account/site')?.id).toBe(first.id)
    registry.deleteEntry(second.id, 'workspace')
    expect(registry.entryBySpiffeId(web.spiffeId)).toBeNull()
    expect(registry.createEntry(web, 6).id).not.toBe(second.id)
  })

  test('an update keeps id, age and place', () => {
    const registry = new Registry(null)
    const first = registry.createEntry(web, 1)
    registry.createEntry({ ...web, spiffeId: 'spiffe://account/later' }, 2)
    const changed = registry.updateEntry(first.id, { ...web, ttl: 30 }, 9)
    expect(changed).toMatchObject({ id: first.id, createdAt: 1, updatedAt: 9, ttl: 30 })
    expect([...registry.entries()][0]).toBe(changed)
  })

  test('knows trust domains only in the newer generation', () => {
    const elsewhere = { spiffeId: 'spiffe://elsewhere/web', selectors: SELECTORS }
    expect(() => new Registry(['account']).createEntry(elsewhere, 1)).toThrow(expect.objectContaining({ status: 400 }))
    expect(new Registry(null).createEntry(elsewhere, 1).spiffeId).toBe(elsewhere.spiffeId)
  })

  test('does not share selectors with who made the entry', () => {
    const selectors: Record<string, string> = { 'unix:uid': '1' }
    const registry = new Registry(null)
    const { id } = registry.createEntry({ ...web, selectors }, 1)
    selectors['unix:uid'] = '2'
    expect(registry.entry(id).selectors).toEqual({ 'unix:uid': '1' })
  })

  test('forgets issued SVIDs once they have expired', () => {
    const registry = new Registry(null)
    const svid = { agentSpiffeId: 'a', spiffeId: 's', entryId: 'e', revokedAt: null }
    registry.issued({ ...svid, serial: '01', expiresAt: 10 })
    registry.issued({ ...svid, serial: '02', expiresAt: 20 })
    expect(registry.save(15).svids.map(({ serial }) => serial)).toEqual(['02'])
    expect(registry.svid('01')).toBeNull()
  })

  test.each([
    ['tenant', ['01', '02']],
    ['workspace', ['02']],
  ] as const)('in the %s API, of the SVIDs of a deleted entry and others, remembers %j', (generation, left) => {
    const registry = new Registry(null)
    const { id } = registry.createEntry(web, 1)
    const svid = { agentSpiffeId: 'a', spiffeId: web.spiffeId, expiresAt: 10, revokedAt: null }
    registry.issued({ ...svid, serial: '01', entryId: id })
    registry.issued({ ...svid, serial: '02', entryId: 'another' })
    registry.deleteEntry(id, generation)
    expect(registry.save(2).svids.map(({ serial }) => serial)).toEqual(left)
  })

  test('restores what it saved', () => {
    const registry = new Registry(null)
    registry.createEntry(web, 1)
    registry.attested({ nodeId: 'n', spiffeId: 'spiffe://account/agent/n', attestationType: 'unix', selectors: {} }, 2)
    const saved = registry.save(3)
    expect(new Registry(null, JSON.parse(JSON.stringify(saved))).save(3)).toEqual(saved)
  })
})
