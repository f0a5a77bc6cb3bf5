import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createMetrics } from '../../../agent/platform/prom-metrics.js'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { type Answer, Crowd, manyCalls } from './crowd.js'

const root = process.getuid?.() === 0
/** Users without a name. */
const FLOODING = 61_001
const OTHER = 61_002
const BURST = 2_000
const CALLS_PER_SECOND = 250

describe.runIf(root && process.env['ICP_TEST_SLOW'] === '1')(
  'while one user floods the socket',
  { timeout: 300_000 },
  () => {
    const metrics = createMetrics({ processMetrics: false })
    let dir: Awaited<ReturnType<typeof temporaryDirectory>>
    let server: DevIcp
    let agent: RunningAgent
    let crowd: Crowd
    let blob: string

    beforeAll(async () => {
      dir = await temporaryDirectory()
      server = await startServer(join(dir.path, 'icp'))
      for (const uid of [FLOODING, OTHER]) {
        await server.createEntry({ spiffeId: `spiffe://${TENANT}/u${uid}`, selectors: { 'unix:uid': String(uid) } })
      }
      agent = await startAgent({ dir: dir.path, server, settings: { LOGGING__LEVEL: 'info' }, world: { metrics } })
      await chmod(dir.path, 0o755)
      blob = join(dir.path, 'calls')
      await writeFile(blob, manyCalls())
      crowd = new Crowd(agent.socketPath)
      for (const uid of [FLOODING, OTHER]) await crowd.fetch(uid, 3)
    })
    afterAll(async () => {
      await crowd?.[Symbol.asyncDispose]()
      await agent?.stop()
      await server?.[Symbol.asyncDispose]()
      await dir?.[Symbol.asyncDispose]()
    })

    const figure = async (name: string): Promise<number> =>
      (await metrics.text())
        .split('\n')
        .filter((row) => row.startsWith(`${name}{`) || row.startsWith(`${name} `))
        .reduce((sum, row) => sum + Number(row.split(' ').at(-1)), 0)

    const failed = (answers: readonly Answer[]) => answers.filter(({ served }) => !served)
    const tell = (answers: readonly Answer[]) => {
      const times = answers.map(({ ms }) => ms).sort((a, b) => a - b)
      const at = (part: number) => Math.round(times[Math.floor(part * (times.length - 1))] ?? 0)
      process.stdout.write(`${answers.length} calls: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms\n`)
    }

    test('with calls on fresh connections, from four processes, each call of another user is answered', async () => {
      const began = performance.now()
      const before = await figure('icp_agent_calls_total')
      const flood = [1, 2, 3, 4].map(() => crowd.flood(FLOODING, blob, 60))
      const answers = await crowd.fetch(OTHER, 100)
      const opened = (await Promise.all(flood.map((one) => one.stop()))) as readonly { readonly opened: number }[]
      const seconds = (performance.now() - began) / 1_000
      tell(answers)
      expect(failed(answers)).toEqual([])
      // The flood came to something, and no more of it reached a handler than it may have.
      expect(opened.reduce((sum, one) => sum + one.opened, 0)).toBeGreaterThan(2_000)
      expect(await figure('icp_agent_calls_turned_away_total')).toBeGreaterThan(0)
      expect((await figure('icp_agent_calls_total')) - before).toBeLessThanOrEqual(
        answers.length + BURST + seconds * CALLS_PER_SECOND,
      )
    })

    test('by connecting over and over, each call of another user is answered', async () => {
      const before = await figure('icp_agent_attestations_total')
      const flood = crowd.connectOverAndOver(FLOODING)
      const answers = await crowd.fetch(OTHER, 100)
      await flood.stop()
      tell(answers)
      expect(failed(answers)).toEqual([])
      // Two programs: the one that floods, and the one that fetches.
      expect((await figure('icp_agent_attestations_total')) - before).toBeLessThanOrEqual(4)
    })

    test('it is served again itself as soon as it lets others have their turn', async () => {
      await expect.poll(async () => failed(await crowd.fetch(FLOODING, 1)), { timeout: 120_000 }).toEqual([])
    })
  },
)
