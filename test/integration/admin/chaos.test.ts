import { setTimeout } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import type { AdminRoute } from '../../../agent/admin/route.js'
import { entries } from '../../../agent/admin/routes/entries.js'
import { status } from '../../../agent/admin/routes/status.js'
import { workloads } from '../../../agent/admin/routes/workloads.js'
import { codeOf } from '../../../agent/errors.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { icpAgent } from '../../support/terminal.js'
import { svidStream, uid } from '../resilience/support.js'
import { clientOf, socketOf } from './support.js'

vi.setConfig({ testTimeout: 120_000 })

const never = new AbortController().signal

const SERVED = new RegExp(`^${process.pid} +${uid} +served +\\S+ (?:1 h|\\d+ min).* spiffe://${TENANT}/web`, 'm')

test('while entries, workloads and the server come and go every answer is whole, and one command answers each question', async () => {
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
  const asked = async (...args: string[]) => {
    const { stdout, stderr } = await icpAgent(['status', ...args, '--admin-socket', socketOf(agent)])
    expect(stderr).toBe('')
    return stdout
  }
  for (let round = 0; round < 3; round++) {
    using stream = svidStream(agent.address)
    await stream.next()
    const entry = { spiffeId: `spiffe://${TENANT}/r${round}`, selectors: { 'unix:uid': uid } }
    // Which workloads does this node serve now, until when, and who got what?
    const [more, served] = await Promise.all([server.createEntry(entry), asked('workloads')])
    expect(served).toMatch(SERVED)
    await agent.logged('Registration entries changed', ({ total }) => total === 2)
    await server.deleteEntry(more.id)
  }
  using withdrawn = svidStream(agent.address)
  await withdrawn.next()
  await server.deleteEntry(web.id)
  expect(await withdrawn.ended()).toBe(7)
  await server[Symbol.asyncDispose]()
  await agent.logged('ICP server cannot be reached')
  // Who was denied, and why?
  const [, id = ''] = new RegExp(`^(\\w+) .*entry\\.none.* ${process.pid} `, 'm').exec(await asked('denials')) ?? []
  const why = await asked('denials', id)
  for (const line of ['no registration entry matches', `pid ${process.pid}, uid ${uid}`, `unix:uid = ${uid}`]) {
    expect(why).toContain(line)
  }
  // What changed, and how is the agent?
  const screen = await asked()
  expect(screen).toMatch(/^health +icp_service for /m)
  for (const change of ['/r0: added', '/r0: removed', '/web: SVID issued', '/web: removed'])
    expect(screen).toContain(change)
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
