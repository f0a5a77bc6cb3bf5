import { status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import { codeOf, fetchJwt, first, X509Watch } from './call.js'
import { line } from './line.js'
import type { Scene } from './scene.js'
import { elsewhere, ownScene, type Target } from './target.js'

/** The agent takes none of these for a SPIFFE ID, neither from a caller nor from its server. */
async function refuses({ address, dialects }: Target, texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    for (const dialect of dialects) {
      const asked = fetchJwt(address, dialect, { spiffeId: text })
      expect(await codeOf(asked), `${dialect} ${text.slice(0, 80)}`).toBe(status.INVALID_ARGUMENT)
    }
  }
  if (!elsewhere) await rejectsEntry(await ownScene(), texts[0] ?? '')
}

async function rejectsEntry({ server, agent }: Scene, spiffeId: string): Promise<void> {
  const id = `malformed-${Buffer.from(spiffeId.slice(0, 40)).toString('hex')}`
  const entry = { id, spiffe_id: spiffeId, parent_id: '', selectors: { 'unix:uid': String(process.getuid?.()) } }
  using _fault = server.setFault({ kind: 'malformed-entry', endpoint: '/v1/entries/by-parent', entry })
  await agent.logged('Registration entry cannot be used', (one) => one['entry_id'] === id)
}

/** A well-formed ID that nobody has: refused as somebody else's, not as malformed. */
async function takes({ address, dialects }: Target, texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    for (const dialect of dialects) {
      const asked = fetchJwt(address, dialect, { spiffeId: text })
      expect(await codeOf(asked), `${dialect} ${text.slice(0, 80)}`).toBe(status.PERMISSION_DENIED)
    }
  }
}

line('I-01', async (target) => {
  await takes(target, ['spiffe://td', 'spiffe://td/a'])
  await refuses(target, [
    'spiffe:///a',
    'spiffe://',
    'spiffe:td/a',
    'http://td/a',
    'spiffe://td/a?b',
    'spiffe://td/a#b',
  ])
})

line('I-02', async (target) => {
  await takes(target, ['spiffe://1.2.3.4/a', 'spiffe://a_b-c.d/a', `spiffe://${'a'.repeat(255)}/a`])
  const wrong = ['Td', 'u@td', 'td:80', 't%64', '[::1]', 'tö', 'a b', 'a'.repeat(256)]
  await refuses(
    target,
    wrong.map((name) => `spiffe://${name}/a`),
  )
})

line('I-03', async (target) => {
  await takes(target, ['spiffe://td/a/b', 'spiffe://td/...', 'spiffe://td/a.b_c-D9'])
  const wrong = ['/', '/a/', '//a', '/a//b', '/.', '/..', '/a/../b', '/a%20', '/a%2fb', '/ä', '/a b', '/a:b', '/a@b']
  await refuses(
    target,
    wrong.map((path) => `spiffe://td${path}`),
  )
})

line('I-04', async (target) => {
  const long = (bytes: number) => `spiffe://td/${'a'.repeat(bytes - 'spiffe://td/'.length)}`
  await takes(target, [long(2048)])
  await refuses(target, [long(2049), long(10_000)])
  if (elsewhere) return
  const { addEntry, address, server } = await ownScene()
  const { id, spiffeId } = await addEntry(`/${'x'.repeat(2048 - `spiffe://${server.tenantId}/`.length)}`)
  using watch = new X509Watch(address, 'spiffe')
  await watch.until(({ svids }) => svids.some((svid) => svid.spiffeId === spiffeId))
  expect(spiffeId).toHaveLength(2048)
  await server.deleteEntry(id)
})

line('I-05', async (target) => {
  const [svid] = (await first(new X509Watch(target.address, 'spiffe'))).svids
  const { spiffeId = '' } = svid ?? {}
  const [, domain = '', path = ''] = /^spiffe:\/\/([^/]+)(\/.*)$/.exec(spiffeId) ?? []
  const otherCase = path.toUpperCase() === path ? path.toLowerCase() : path.toUpperCase()
  await takes(target, [`spiffe://${domain}${otherCase}`])
  await refuses(target, [`spiffe://TD${path}`, `SPIFFE://${domain}${path}`, `Spiffe://${domain}${path}`])
})

line('I-06', async (target) => {
  const wrong = ['/a/../b', '/a/./b', '/%61', '/a\\b', '/a;b', '/a\tb', '/a\n', '/é']
  await refuses(
    target,
    wrong.map((path) => `spiffe://td${path}`),
  )
  const [svid] = (await first(new X509Watch(target.address, 'spiffe'))).svids
  const { spiffeId = '' } = svid ?? {}
  expect(SpiffeId.parse(spiffeId).uri).toBe(spiffeId)
})
