import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { WorkloadApiClient } from '../../agent/client/workload-api-client.js'
import { Signal } from '../../agent/lib/signal.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { recordsIn } from '../support/audit.js'
import { eventually } from '../support/until.js'
import { fetchOnce, served, svidStream, uid } from './resilience/support.js'

vi.setConfig({ testTimeout: 180_000 })

const ROOT = process.getuid?.() === 0
const connect = (address: string) => WorkloadApiClient.connect({ address, clock: new SystemClock() })
const textOf = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '')

test.concurrent('the audit log of an agent says who got what, who was denied, what was issued, revoked and withdrawn, and no secret', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const entry = await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const path = join(dir.path, 'log', 'audit.log')
  const settings = { SECURITY__REVOKE_REMOVED: 'true', AUDIT__PATH: path }
  await using agent = await startAgent({ dir: dir.path, server, settings })
  await served(agent.address)
  const client = connect(agent.address)
  const [x509] = (await client.fetchX509Svid()).svids
  await client.fetchX509Svid()
  const [jwt] = await client.fetchJwtSvids({ audience: ['db'] })
  client[Symbol.dispose]()
  await server.deleteEntry(entry.id)
  await eventually(
    () => textOf(path),
    (text) => text.includes('x509_svid_revoked'),
  )
  const late = connect(agent.address)
  await expect(late.fetchX509Svid()).rejects.toThrow()
  late[Symbol.dispose]()
  await agent.stop()

  const text = textOf(path)
  const records = recordsIn(text)
  const of = (type: string) => records.filter((record) => record.type === type)
  const who = expect.objectContaining({ pid: process.pid, uid: Number(uid), gid: process.getgid?.() })
  const identity = { spiffe_id: `spiffe://${TENANT}/web`, serial: x509?.svid.serial }
  expect(records[0]?.type).toBe('agent_started')
  expect(records.at(-1)?.type).toBe('agent_stopped')
  expect(of('node_attested')).toEqual([expect.objectContaining({ how: 'attested' })])
  expect(of('x509_svid_issued')).toEqual([expect.objectContaining({ ...identity, entry_id: entry.id })])
  expect(of('x509_svid_served')).toEqual([expect.objectContaining({ ...identity, entry_id: entry.id, who })])
  expect(of('repeated')).toContainEqual(expect.objectContaining({ of: of('x509_svid_served')[0]?.seq }))
  const token = { spiffe_id: `spiffe://${TENANT}/web`, audience: ['db'], expires: expect.any(String) }
  expect(of('jwt_svid_served')).toEqual([expect.objectContaining({ ...token, who })])
  expect(of('jwt_svid_issued')).toEqual([
    expect.objectContaining({ ...token, token_id: of('jwt_svid_served')[0]?.['token_id'] }),
  ])
  expect(of('entry_withdrawn')).toEqual([expect.objectContaining({ entry_id: entry.id })])
  expect(of('x509_svid_revoked')).toEqual([expect.objectContaining({ serial: x509?.svid.serial })])
  expect(of('denied').at(-1)).toMatchObject({ code: 'entry.none', method: 'FetchX509SVID' })
  expect(records.map(({ seq }) => seq)).toEqual(records.map((_, i) => i + 1))

  const secrets = [jwt?.token.reveal() ?? 'none', 'eyJ', 'PRIVATE', 'BEGIN']
  expect(secrets.filter((secret) => text.includes(secret))).toEqual([])
  for (const part of jwt?.token.reveal().split('.') ?? []) expect(text).not.toContain(part)
})

test.concurrent('records go to standard output among the lines of the log', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using agent = await startAgent({ dir: dir.path, server, settings: { AUDIT__PATH: 'stdout' } })
  const lines = await eventually(
    () => agent.lines.filter((line) => line['schema'] === 'icp-agent/audit/1'),
    (found) => found.some((line) => line['type'] === 'node_attested'),
  )
  recordsIn(lines.map((line) => JSON.stringify(line)).join('\n'))
})

test.concurrent('an audit log that was rotated away is opened anew with the log', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const path = join(dir.path, 'log', 'audit.log')
  const rotated = new Signal()
  await using agent = await startAgent({ dir: dir.path, server, settings: { AUDIT__PATH: path }, world: { rotated } })
  await eventually(
    () => textOf(path),
    (text) => text.includes('node_attested'),
  )
  renameSync(path, `${path}.1`)
  rotated.emit()
  const client = connect(agent.address)
  await expect(client.fetchX509Svid()).rejects.toThrow()
  client[Symbol.dispose]()
  await eventually(
    () => textOf(path),
    (text) => text.includes('"denied"'),
  )
  expect(recordsIn(textOf(path)).map(({ type }) => type)).toContain('denied')
  expect(textOf(`${path}.1`)).not.toContain('"denied"')
})

/** A file system of its own with room for a few records, which can be filled. */
function smallDisk(path: string) {
  mkdirSync(path, { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32k,mode=0700', 'tmpfs', path])
  const filler = join(path, 'filler')
  return {
    fill() {
      try {
        writeFileSync(filler, Buffer.alloc(1024 * 1024))
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
      }
    },
    free: () => rmSync(filler),
    [Symbol.dispose]: () => void execFileSync('umount', ['-l', path]),
  }
}

async function withFullDisk(failClosed: boolean) {
  const dir = await temporaryDirectory()
  const server = await startServer(`${dir.path}/icp`, { svidTtlSeconds: 20 })
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const disk = smallDisk(join(dir.path, 'log'))
  const path = join(dir.path, 'log', 'audit.log')
  const settings = { AUDIT__PATH: path, AUDIT__FAIL_CLOSED: String(failClosed), WORKLOAD_API__HOLD: '1s' }
  const agent = await startAgent({ dir: dir.path, server, settings })
  await served(agent.address)
  return {
    agent,
    disk,
    path,
    /** Nothing more can be written to the file, and the agent knows. */
    async fill() {
      disk.fill()
      let n = 0
      await eventually(
        async () => {
          const client = connect(agent.address)
          await client.fetchJwtSvids({ audience: [`filling-${n++}`] }).catch(() => undefined)
          client[Symbol.dispose]()
          return agent.lines.some(({ event }) => event === 'Audit log cannot be written')
        },
        (known) => known,
      )
    },
    async [Symbol.asyncDispose]() {
      await agent.stop()
      await server[Symbol.asyncDispose]()
      disk[Symbol.dispose]()
      await dir[Symbol.asyncDispose]()
    },
  }
}

test.skipIf(!ROOT)('a full disk loses no service, and the records once it has room', async () => {
  await using world = await withFullDisk(false)
  await world.fill()
  const first = await fetchOnce(world.agent.address)
  const client = connect(world.agent.address)
  expect(await client.fetchJwtSvids({ audience: ['while-full'] })).toHaveLength(1)
  client[Symbol.dispose]()
  expect(first.ids).toEqual([`spiffe://${TENANT}/web`])
  world.disk.free()
  const text = await eventually(
    () => textOf(world.path),
    (written) => written.includes('while-full'),
  )
  const records = recordsIn(text)
  expect(records.map(({ seq }) => seq)).toEqual(records.map((_, i) => i + 1))
  await world.agent.logged('Audit log can be written again')
})

test.skipIf(!ROOT)(
  'with fail_closed a full disk holds new grants and lets open streams go on, until it has room',
  async () => {
    await using world = await withFullDisk(true)
    using stream = svidStream(world.agent.address)
    const before = await stream.next()
    await world.fill()

    using late = svidStream(world.agent.address)
    expect(await late.failed()).toMatchObject({ code: 14, message: expect.stringContaining('audit.fail_closed') })
    const client = connect(world.agent.address)
    await expect(client.fetchJwtSvids({ audience: ['held'] })).rejects.toThrow('audit.fail_closed')
    const renewed = await stream.until(({ leaf }) => leaf.serialNumber !== before.leaf.serialNumber)
    expect(renewed.ids).toEqual(before.ids)

    world.disk.free()
    await world.agent.logged('Audit log can be written again')
    expect((await fetchOnce(world.agent.address)).ids).toEqual(before.ids)
    expect(await client.fetchJwtSvids({ audience: ['free'] })).toHaveLength(1)
    client[Symbol.dispose]()
    await world.agent.stop()
    const records = recordsIn(textOf(world.path))
    expect(records.map(({ seq }) => seq)).toEqual(records.map((_, i) => i + 1))
    expect(records.filter((record) => JSON.stringify(record).includes('"held"'))).toEqual([])
  },
)
