import { describe, expect, it } from 'vitest'
import type { X509Context } from '../../../agent/client/x509-context.js'
import type { BundleSet } from '../../../agent/identity/trust-bundle.js'
import { offerBundles } from '../../../agent/main/bundle-offers.js'
import { publicationOf } from '../../../agent/main/bundle-publication.js'
import type { PublishedTexts } from '../../../agent/publishing/texts.js'
import { authorityOf, bundlesOf, svidOf } from '../../fakes/identities.js'
import { MemoryFiles } from '../../fakes/memory-files.js'

/** What the agent says, one after the other; then nothing more until the signal aborts. */
async function* says<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values
}

async function offered(options: Parameters<typeof publicationOf>[0], ...x509: readonly BundleSet[]) {
  const publication = await publicationOf({ 'config-map': 'a', namespace: 'b', ...options }, {}, new MemoryFiles())
  const [offers, told]: [PublishedTexts[], string[]] = [[], []]
  let asked = 0
  const bundle = { trustDomain: 'example.org', authorities: [authorityOf('own')] }
  const context: X509Context = { svids: [{ svid: svidOf('web'), hint: '', bundle }], federated: new Map() }
  const client = {
    watchX509Svids: () => {
      asked++
      return says([context])
    },
    watchX509Bundles: () => says(x509),
    watchJwtBundles: () => says([new Map([['example.org', '{"keys":[]}']])]),
  }
  const publisher = { offer: (texts: PublishedTexts) => void offers.push(texts) }
  const tell = (text: string) => void told.push(text)
  await offerBundles({ client, publication, publisher, tell }, new AbortController().signal)
  return { keys: offers.map(({ files }) => [...files.keys()]), told, asked }
}

describe('the bundles that are offered', () => {
  it('are of the trust domain of the first identity, unless one is named: then no identity is asked for', async () => {
    const both = bundlesOf('example.org', 'other.example')
    expect(await offered({}, both)).toMatchObject({ keys: [['bundle.pem']], asked: 1 })
    expect(await offered({ 'trust-domain': 'other.example' }, both)).toMatchObject({ keys: [['bundle.pem']], asked: 0 })
  })

  it('are offered at each change; what is absent is said once, and offered never', async () => {
    const [own, none] = [bundlesOf('example.org'), bundlesOf('other.example')]
    const { keys, told } = await offered({ federated: ['partner.example'] }, own, own, none, none)
    expect(keys).toEqual([['bundle.pem'], ['bundle.pem']])
    expect(told).toEqual([
      'the agent serves no bundle of partner.example: what was published of it stays',
      'the agent serves no bundle of example.org, partner.example: what was published of it stays',
    ])
  })
})
