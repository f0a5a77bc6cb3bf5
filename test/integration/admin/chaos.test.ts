import { setTimeout } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import type { AdminRoute } from '../../../agent/admin/route.js'
import { entries } from '../../../agent/admin/routes/entries.js'
import { status } from '../../../agent/admin/routes/status.js'
import { workloads } from '../../../agent/admin/routes/workloads.js'
import { codeOf } from '../../../agent/errors.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { svidStream, uid } from '../resilience/support.js'
import { clientOf } from './support.js'

vi.setConfig({ testTimeout: 120_000 })

const never = new AbortController().signal

test('every answer is whole while entries, workloads and the server come and go, and until the agent is gone', async () => {
  await using dir = await temporaryDirectory()
  const server = await startServer(`${dir.path}/icp`)
  const web = await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const agent = await startAgent({ dir: dir.path, server })
  let [stopped, answers] = [false, 0]
  const codes = new Set<string>()
  const asking = async ({ schema, path }: Pick<AdminRoute, 'schema' | 'path'>) => {
    using client = clientOf(agent)
    while (!stopped) {
      try {
        const answer = await client.call({ path, signal: never })
        expect(schema.parse(answer)).toEqual(answer)
        answers++
        await setTimeout(20)
      } catch (error) {
        if (codeOf(error) === 'internal') throw error
        codes.add(codeOf(error))
        return
      }
    }
  }
  const all = Promise.all([status, workloads, entries, status].map(asking))
  for (let round = 0; round < 3; round++) {
    using stream = svidStream(agent.address)
    await stream.next()
    const more = await server.createEntry({ spiffeId: `spiffe://${TENANT}/r${round}`, selectors: { 'unix:uid': uid } })
    await agent.logged('Registration entries changed', ({ total }) => total === 2)
    await server.deleteEntry(more.id)
    await agent.logged('Registration entries changed', ({ removed }) => removed === 1)
  }
  await server.deleteEntry(web.id)
  await server[Symbol.asyncDispose]()
  await agent.logged('ICP server cannot be reached')
  using late = clientOf(agent)
  const told = await late.get(status.schema, status.path, never)
  expect(told.health.reasons.map(({ component }) => component)).toContain('icp_service')
  expect(told.changes.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['entries', 'svid', 'node']))
  await agent.stop()
  stopped = true
  await all
  expect(answers).toBeGreaterThan(10)
  // Those that asked while it stopped were told nothing else.
  expect([...codes].filter((code) => code !== 'admin.unreachable')).toEqual([])
})
