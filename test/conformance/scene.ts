import { realpathSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import type { DialectName } from '../../agent/client/dialect-name.js'
import { createMetrics } from '../../agent/platform/prom-metrics.js'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import type { Flaw } from '../../dev/icp-server/flaws.js'
import { type RunningAgent, startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { codeOf, first, X509Watch } from './call.js'
import { HastyClock } from './hasty-clock.js'

/** Waits take a fifth of their time. */
const TIMES = 5
const START_MS = 150_000
/** What the process of the tests is; every entry that it shall match asks for it. */
export const MINE = { 'unix:uid': String(process.getuid?.()) }
export const NODE = 'conformance'

/** An agent with everything around it: the server, its entries, the clock. */
export interface Scene extends AsyncDisposable {
  readonly address: string
  readonly dialects: readonly DialectName[]
  readonly dir: string
  readonly server: DevIcp
  readonly agent: RunningAgent
  readonly clock: HastyClock
  /** The entry that is there from the beginning, and so the default identity. */
  readonly web: string
  /** A figure of the agent's metrics, summed over the series that have these labels. */
  figure(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  /** The socket of another node's agent of the same account, which has no entry for anybody. */
  stranger(): Promise<string>
  /** Waits until the process of the tests is given an SVID. */
  entitled(): Promise<void>
  /** Registers an identity for the process of the tests, for this node alone. */
  addEntry(path: string): Promise<{ readonly id: string; readonly spiffeId: string }>
  /** The server issues the identity of a new entry with a flaw: whether it was refused, and by which rule. */
  refused(flaw: Flaw): Promise<{ readonly code: string; readonly served: boolean }>
}

/** Starts a server and an agent of this repository, and waits until the agent serves. */
export async function startScene(settings: Readonly<Record<string, string>> = {}): Promise<Scene> {
  const dir = await temporaryDirectory()
  const clock = new HastyClock(TIMES)
  const server = await startServer(`${dir.path}/icp`, { clock })
  const parentId = `spiffe://${server.tenantId}/agent/${NODE}`
  const spiffeId = (path: string) => `spiffe://${server.tenantId}${path}`
  let made = 0
  const addEntry = (path: string) =>
    server.createEntry({ spiffeId: spiffeId(path), parentId, selectors: selectorsOf(made++) })
  const web = await addEntry('/web')
  const metrics = createMetrics({ processMetrics: false })
  const agent = await startAgent({
    dir: dir.path,
    server,
    settings: {
      AGENT__NODE_ID: NODE,
      SYNC__INTERVAL: '3s',
      SYNC__BUNDLE_INTERVAL: '15s',
      WORKLOAD_API__HOLD: '30s',
      ...settings,
    },
    world: { clock, metrics },
  })
  await Promise.race([agent.logged('Agent startup completed successfully'), tooLong(agent)])
  const { address } = agent
  let other: Promise<RunningAgent> | null = null
  return {
    stranger: async () => {
      other ??= startAgent({
        dir: `${dir.path}/other`,
        server,
        settings: { AGENT__NODE_ID: 'other' },
        world: { clock },
      })
      await (await other).logged('Agent startup completed successfully')
      return (await other).address
    },
    entitled: async () => {
      while ((await codeOf(first(new X509Watch(address, 'spiffe')))) !== status.OK) await setTimeout(50)
    },
    ...{ address, dir: dir.path, server, agent, clock, web: web.spiffeId, addEntry },
    dialects: ['spiffe', 'authsec'],
    figure: async (name, labels = {}) => {
      const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`)
      return (await metrics.text())
        .split('\n')
        .filter(
          (row) => (row.startsWith(`${name}{`) || row.startsWith(`${name} `)) && wanted.every((w) => row.includes(w)),
        )
        .reduce((sum, row) => sum + Number(row.split(' ').at(-1)), 0)
    },
    refused: async (flaw) => {
      using watch = new X509Watch(address, 'spiffe')
      await watch.next()
      using _fault = server.setFault({ kind: 'certificate', flaw, endpoint: '/v1/workload/attest' })
      const entry = await addEntry(`/flawed-${flaw}`)
      const line = await agent.logged('Workload SVID not issued', (one) => one['entry_id'] === entry.id)
      await server.deleteEntry(entry.id)
      const served = watch.seen.some(({ svids }) => svids.some((svid) => svid.spiffeId === entry.spiffeId))
      return { code: (line['error'] as { code: string }).code, served }
    },
    [Symbol.asyncDispose]: async () => {
      await agent.stop()
      await (await other)?.stop()
      await server[Symbol.asyncDispose]()
      await dir[Symbol.asyncDispose]()
    },
  }
}

/**
 * The n-th set of selectors that this process fulfils. No two entries may ask for the same: the server issues only one
 * of those that it cannot tell apart.
 */
function selectorsOf(n: number): Record<string, string> {
  const program = realpathSync(process.execPath)
  const all = { ...MINE, 'unix:gid': String(process.getgid?.()), 'unix:path': program, 'unix:exe': program }
  const chosen = (n % 15) + 1
  return Object.fromEntries(Object.entries(all).filter((_, i) => chosen & (1 << i)))
}

/** Rejects with the agent's last words. */
async function tooLong(agent: RunningAgent): Promise<never> {
  await setTimeout(START_MS, undefined, { ref: false })
  const words = agent.lines.slice(-20).map((line) => JSON.stringify(line))
  throw new Error(`the agent has not started within ${START_MS} ms:\n${words.join('\n')}`)
}
