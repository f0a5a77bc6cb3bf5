import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { served, svidStream, uid } from './resilience/support.js'

// On a busy machine an agent takes seconds to start.
vi.setConfig({ testTimeout: 60_000 })

const sha256 = createHash('sha256').update(readFileSync('/proc/self/exe')).digest('hex')
const entry = (name: string, more: Record<string, string> = {}) => ({
  spiffeId: `spiffe://${TENANT}/${name}`,
  selectors: { 'unix:uid': uid, ...more },
})
const SETTINGS = { SYNC__INTERVAL: '500ms', SYNC__MAX_INTERVAL: '500ms' }
const digestOf = (line: Readonly<Record<string, unknown>>) =>
  (line['selectors'] as Record<string, string>)['unix:sha256']

test.concurrent('the digest of a program is not read until an entry asks for it, and then an open stream gets that entry too', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry(entry('web'))
  await using agent = await startAgent({ dir: dir.path, server, settings: SETTINGS })
  await served(agent.address)
  using stream = svidStream(agent.address)
  expect((await stream.next()).ids).toEqual([`spiffe://${TENANT}/web`])
  expect(agent.lines.filter(({ event }) => event === 'Workload attested').map(digestOf)).not.toContain(sha256)

  await server.createEntry(entry('trusted', { 'unix:sha256': sha256 }))
  const { ids } = await stream.until((context) => context.ids.length === 2)
  expect(ids).toEqual([`spiffe://${TENANT}/web`, `spiffe://${TENANT}/trusted`])
  await agent.logged('Workload attested', (line) => digestOf(line) === sha256)
})

test.concurrent('an entry that begins to ask for the digest is not taken from a process that has it', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const { id } = await server.createEntry(entry('web'))
  await using agent = await startAgent({ dir: dir.path, server, settings: SETTINGS })
  await served(agent.address)
  using stream = svidStream(agent.address)
  await stream.next()
  await server.updateEntry(id, entry('web', { 'unix:sha256': sha256 }))
  await agent.logged('Workload attested', (line) => digestOf(line) === sha256)
  // Had the stream been ended meanwhile, this would reject.
  await server.createEntry(entry('second'))
  const { ids } = await stream.until((context) => context.ids.length === 2)
  expect(ids).toEqual([`spiffe://${TENANT}/web`, `spiffe://${TENANT}/second`])
  expect(agent.lines.filter(({ event }) => event === 'Workload API call denied')).toEqual([])
})

test.concurrent('an entry that asks for another digest matches nobody', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry(entry('web', { 'unix:sha256': '0'.repeat(64) }))
  await using agent = await startAgent({ dir: dir.path, server, settings: SETTINGS })
  await agent.logged('Registration entries changed')
  using stream = svidStream(agent.address)
  expect(await stream.ended()).toBe(7)
})

test.concurrent('an entry that asks for the digest alone is warned of, once, and one with a user is not', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry(entry('bound', { 'unix:sha256': sha256 }))
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/alone`, selectors: { 'unix:sha256': sha256 } })
  await using agent = await startAgent({ dir: dir.path, server, settings: SETTINGS })
  const event = 'Entry requires unix:sha256 but neither a user nor a container'
  await agent.logged(event)
  // Another sync that changes entries says nothing again.
  await server.createEntry(entry('later'))
  await agent.logged(
    'Registration entries changed',
    (line) => agent.lines.indexOf(line) > agent.lines.findIndex((l) => l.event === event),
  )
  expect(agent.lines.filter((line) => line.event === event).map((line) => line['spiffe_id'])).toEqual([
    `spiffe://${TENANT}/alone`,
  ])
})
