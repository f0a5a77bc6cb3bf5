import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DeadlineFiles } from '../../../agent/platform/deadline-files.js'
import { Disk } from '../../../agent/platform/disk.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { served, svidStream, uid } from './support.js'

/** A disk whose writes wait for ever from some moment on. */
class HangingDisk extends Disk {
  hangs = false

  override writeAtomically(path: string, content: Uint8Array, mode?: number): Promise<void> {
    return this.hangs ? new Promise(() => undefined) : super.writeAtomically(path, content, mode)
  }
}

test('while the data disk hangs SVIDs are renewed, /status is degraded, and a stop ends', {
  timeout: 180_000,
}, async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`, { svidTtlSeconds: 20 })
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const disk = new HangingDisk()
  const files = new DeadlineFiles(disk, new SystemClock(), [join(dir.path, 'data')], 200)
  const left: number[] = []
  const world = { files, hangingFiles: () => files.hanging, threadsHang: (threads: number) => void left.push(threads) }
  await using agent = await startAgent({
    dir: dir.path,
    server,
    settings: { HEALTH__ENABLED: 'true', HEALTH__PORT: '0' },
    world,
  })
  await served(agent.address)
  disk.hangs = true
  using stream = svidStream(agent.address)
  await stream.next()
  await agent.logged('Sealed cache could not be written; the agent goes on from memory')
  await agent.logged('Workload SVID renewal successful')
  await stream.next()
  const { port } = await agent.logged('Health server started')
  const { status, components } = (await (await fetch(`http://127.0.0.1:${port}/status`)).json()) as {
    readonly status: string
    readonly components: Readonly<Record<string, { readonly message: string }>>
  }
  expect(status).toBe('degraded')
  expect(components['certificate_cache']?.message).toContain('the disk hangs since')
  // It would be removed by a system call that hangs, so it stays.
  const socket = join(dir.path, 'data', 'health.sock')
  await agent.stop()
  expect(statSync(socket).isSocket()).toBe(true)
  // Two, where a change and the probe of the disk came at one moment.
  expect([1, 2]).toContain(left[0])
  expect(left).toHaveLength(1)
})
