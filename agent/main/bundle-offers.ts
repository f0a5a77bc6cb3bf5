import type { WorkloadApiClient } from '../client/workload-api-client.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import { LinkedAbort } from '../lib/abort.js'
import type { BundlePublisher } from '../publishing/bundle-publisher.js'
import { publishedTexts } from '../publishing/texts.js'
import type { Publication } from './bundle-publication.js'

export interface BundleOffers {
  readonly client: Pick<WorkloadApiClient, 'watchX509Svids' | 'watchX509Bundles' | 'watchJwtBundles'>
  readonly publication: Publication
  readonly publisher: Pick<BundlePublisher, 'offer'>
  readonly tell: (text: string) => void
}

/** Offers the agent's bundles, and each change of them, until the signal aborts. Throws permanent errors. */
export async function offerBundles(
  { client, publication, publisher, tell }: BundleOffers,
  signal: AbortSignal,
): Promise<void> {
  const trustDomain = publication.trustDomain ?? (await ownTrustDomain(client, signal))
  if (trustDomain === null) return
  const wanted = { ...publication, trustDomain }
  let x509: BundleSet = new Map()
  let jwt: ReadonlyMap<string, string> | null = null
  let absentBefore = ''
  const offer = () => {
    const { texts, absent } = publishedTexts(wanted, x509, jwt)
    if (x509.size > 0 && absent.join() !== absentBefore) {
      absentBefore = absent.join()
      if (absent.length > 0) tell(`the agent serves no bundle of ${absent.join(', ')}: what was published of it stays`)
    }
    if (texts !== null) publisher.offer(texts)
  }
  const certificates = async () => {
    for await (x509 of client.watchX509Bundles(signal)) offer()
  }
  const keys = async () => {
    if (publication.spiffeKey === null) return
    for await (jwt of client.watchJwtBundles(signal)) offer()
  }
  await Promise.all([certificates(), keys()])
}

/** The trust domain of the default identity; null if the signal aborts first. */
async function ownTrustDomain(
  client: Pick<WorkloadApiClient, 'watchX509Svids'>,
  signal: AbortSignal,
): Promise<string | null> {
  using once = new LinkedAbort(signal)
  for await (const { svids } of client.watchX509Svids(once.signal)) return svids[0].svid.spiffeId.trustDomain
  return null
}
