import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { expect, test, vi } from 'vitest'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { fetchOnce, healthOf, served, uid } from './support.js'

vi.setConfig({ testTimeout: 180_000 })

const SETTINGS = { SYNC__INTERVAL: '2s', SYNC__BUNDLE_INTERVAL: '500ms', WORKLOAD_API__HOLD: '500ms' }
const entry = { spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } }

test('with a clock that was set back nothing of the cache is served until the server says what time it is', async () => {
  await using dir = await temporaryDirectory()
  let server = await startServer(`${dir.path}/icp`)
  const { address, caPath } = server
  const { host } = new URL(address)
  await server.createEntry(entry)
  const before = await (async () => {
    await using agent = await startAgent({ dir: dir.path, server, settings: SETTINGS })
    const context = await served(agent.address)
    await agent.stop()
    return context
  })()
  await server[Symbol.asyncDispose]()

  let offset = -600_000
  const clock = new SystemClock(() => Date.now() + offset)
  const world = { clock }
  {
    await using agent = await startAgent({ dir: dir.path, server: { address, caPath }, settings: SETTINGS, world })
    await expect(fetchOnce(agent.address)).rejects.toMatchObject({ code: status.UNAVAILABLE })
  }
  // Nor is it forgotten by the next start that the clock was behind.
  await using agent = await startAgent({ dir: dir.path, server: { address, caPath }, settings: SETTINGS, world })
  await expect(fetchOnce(agent.address)).rejects.toMatchObject({ code: status.UNAVAILABLE })
  offset = 0
  server = await startServer(`${dir.path}/icp`, { listen: host })
  await using _server = server
  await agent.logged('ICP server confirmed the clock; serving the sealed cache')
  expect((await served(agent.address)).leaf.serialNumber).toBe(before.leaf.serialNumber)
})

test('a full disk is said in /status, and everything is served from memory', async ({ skip }) => {
  await using dir = await temporaryDirectory()
  const disk = join(dir.path, 'disk')
  mkdirSync(disk)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0755', 'none', disk], { stdio: 'ignore' })
  } catch {
    skip('a disk cannot be mounted here')
  }
  try {
    await using server = await startServer(`${dir.path}/icp`)
    await server.createEntry(entry)
    const settings = {
      ...SETTINGS,
      AGENT__DATA_DIR: join(disk, 'data'),
      HEALTH__ENABLED: 'true',
      HEALTH__PORT: '0',
    }
    await using agent = await startAgent({ dir: dir.path, server, settings })
    await served(agent.address)
    const ballast = join(disk, 'ballast')
    for (const size of [65_536, 4_096, 64]) fill(ballast, size)
    const more = { ...entry, spiffeId: `spiffe://${TENANT}/also` }
    await server.createEntry({ ...more, selectors: { 'unix:uid': uid, 'unix:gid': String(process.getgid?.()) } })
    await agent.logged('Sealed cache could not be written; the agent goes on from memory')
    const health = await healthOf(agent)
    const { body } = await health('/status')
    expect(body.components?.['certificate_cache']?.status).toBe('degraded')
    expect((await health('/healthz')).status).toBe(200)
    await eventually(
      () => fetchOnce(agent.address).catch(() => null),
      (context) => context?.ids.length === 2,
    )
    rmSync(ballast)
    await agent.logged('Sealed cache can be written again')
  } finally {
    execFileSync('umount', ['-l', disk])
  }
})

function fill(path: string, size: number): void {
  try {
    for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}
