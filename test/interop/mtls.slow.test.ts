import { chmodSync, copyFileSync, linkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { Environment, TRUST_DOMAIN } from './support/environment.js'
import { goProgram } from './support/go.js'
import { cell } from './support/matrix.js'
import { nodeProgram } from './support/node.js'
import type { Program } from './support/programs.js'
import { go, type Toolchain } from './support/toolchains.js'

const REQUESTS = 1000
const ROTATIONS = 3
const SERVER = `spiffe://${TRUST_DOMAIN}/server`
const CLIENT = `spiffe://${TRUST_DOMAIN}/client`
const STRANGER = `spiffe://${TRUST_DOMAIN}/stranger`

/** The same program under another path, which is another workload to the agent. */
function under(path: string, program: Program): Program {
  try {
    linkSync(program.command, path)
  } catch {
    // Another file system.
    copyFileSync(program.command, path)
    chmodSync(path, 0o755)
  }
  return { ...program, command: path }
}

function mtls(name: string, toolchain: Toolchain, build: () => Promise<Program>): void {
  const title = toolchain.missing === null ? name : `${name} (skipped: ${toolchain.missing})`
  describe.skipIf(toolchain.missing !== null)(title, () => {
    let environment: Environment
    let program: Program
    const path = (role: string) => join(environment.dir, role)

    beforeAll(async () => {
      program = await build()
      // Two identities that rotate every five seconds, and little else, stay below the pace that the agent keeps.
      environment = await Environment.open({ server: { svidTtlSeconds: 12 }, settings: { SYNC__INTERVAL: '30s' } })
      for (const entry of environment.server.entries) await environment.server.deleteEntry(entry.id)
      for (const [spiffeId, role] of [
        [SERVER, 'server'],
        [CLIENT, 'client'],
        [STRANGER, 'stranger'],
      ] as const) {
        await environment.server.createEntry({ spiffeId, selectors: { 'unix:path': path(role) } })
      }
      await environment.agent.kill()
      await environment.agent.start()
    })
    afterAll(() => environment?.[Symbol.asyncDispose]())

    cell(name, 'mTLS', 'loses no request between two processes while both their SVIDs rotate', async () => {
      const server = environment.start(under(path('server'), program), ['server', CLIENT])
      const { address } = await server.event('listening')
      const to = [String(address), SERVER]

      const client = environment.start(under(path('client'), program), ['client', ...to, `${REQUESTS}`, `${ROTATIONS}`])
      const done = await client.event('done', undefined, 0, 150_000)
      expect(done['failures']).toEqual([])
      expect(done['seenAs']).toEqual([CLIENT])
      expect(done['requests']).toBeGreaterThanOrEqual(REQUESTS)
      expect(done['ownRotations']).toBeGreaterThanOrEqual(ROTATIONS)
      expect(done['peerRotations']).toBeGreaterThanOrEqual(ROTATIONS)

      // Whoever else the agent knows, with an SVID of the same authority, is not served.
      const stranger = environment.start(under(path('stranger'), program), ['client', ...to, '3', '-1'])
      const refused = await stranger.event('done')
      expect(refused['failures']).toHaveLength(3)
      expect(refused['seenAs']).toEqual([])

      // And a client does not take another server for the one it wants.
      const careful = environment.start({ ...program, command: path('client') }, [
        'client',
        String(address),
        STRANGER,
        '3',
        '-1',
      ])
      expect((await careful.event('done'))['failures']).toHaveLength(3)
      return `${REQUESTS} requests, ${ROTATIONS} rotations, no failure`
    })
  })
}

mtls('go-spiffe', go(), goProgram)
mtls('agent/client, SPIFFE', { missing: null }, () => nodeProgram('spiffe'))
