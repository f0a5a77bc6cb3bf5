import { userInfo } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { svidStream, uid } from './support.js'

/** Six see each SVID renewed twice; ICP_TEST_MINUTES=15 was run by hand. */
const MINUTES = Number(process.env['ICP_TEST_MINUTES'] ?? 6)
const LIFE_MS = 300_000
vi.setConfig({ testTimeout: (MINUTES + 5) * 60_000 })

const SELECTORS = {
  'unix:uid': uid,
  'unix:gid': String(process.getgid?.()),
  'unix:path': process.execPath,
  'unix:user': userInfo().username,
}

/** Different sets of selectors that this process has. */
function subsets(count: number): Record<string, string>[] {
  const selectors = Object.entries(SELECTORS)
  return Array.from({ length: count }, (_, n) => Object.fromEntries(selectors.filter((_pair, i) => ((n + 1) >> i) & 1)))
}

test('three entries that are never issued cost ten others of two agents behind one address nothing', async () => {
  await using dir = await temporaryDirectory()
  const domain = 'acme.example'
  const limited: number[] = []
  const options = {
    onRequest: ({ status }: { readonly status: number | null }) => void (status === 429 && limited.push(Date.now())),
    limits: 'faithful',
    svidTtlSeconds: LIFE_MS / 1000,
    workloadTrustDomain: domain,
  } as const
  await using server = await startServer(`${dir.path}/icp`, options)
  for (const [n, selectors] of subsets(13).entries()) {
    await server.createEntry({ spiffeId: `spiffe://${n < 3 ? TENANT : domain}/e${n}`, selectors })
  }
  const start = (node: string) =>
    startAgent({
      dir: `${dir.path}/${node}`,
      server,
      settings: {
        AGENT__NODE_ID: node,
        SYNC__INTERVAL: '30s',
        ICP_SERVICE__RETRY_BACKOFF: '5',
        WORKLOAD_API__HOLD: '4s',
      },
    })
  await using one = await start('one')
  await using two = await start('two')
  const began = Date.now()
  while (Date.now() < began + MINUTES * 60_000) {
    for (const { address } of [one, two]) {
      using stream = svidStream(address)
      await stream.next().catch(() => null)
    }
    await sleep(3_000)
  }
  // 26 first SVIDs at one moment are more than the server answers at once, whatever they are for.
  expect(limited.filter((at) => at > began + 30_000)).toEqual([])
  for (const { lines } of [one, two]) {
    const ends = new Map<string, number>()
    const left: number[] = []
    for (const line of lines) {
      if (!/^Workload SVID (?:issued|renewal successful)$/.test(line.event)) continue
      const [id, at, until] = [
        String(line['entry_id']),
        Date.parse(String(line['timestamp'])),
        String(line['expires_at']),
      ]
      const end = ends.get(id)
      if (end !== undefined) left.push((end - at) / LIFE_MS)
      ends.set(id, Date.parse(until))
    }
    process.stdout.write(`${ends.size} entries, ${left.length} renewals, least left ${Math.min(...left)}\n`)
    expect(ends.size).toBe(10)
    expect(Math.min(...left)).toBeGreaterThanOrEqual(1 / 3)
  }
})
