import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { goProgram } from './support/go.js'
import { go } from './support/toolchains.js'

const execute = promisify(execFile)

test.skipIf(go().missing !== null)(
  'of two hundred Go programs that exit right after their answer none is denied, nor said to run another program',
  async () => {
    const { command } = await goProgram()
    await using dir = await temporaryDirectory()
    await using server = await startServer(`${dir.path}/icp`)
    const selectors = { 'unix:uid': String(process.getuid?.()), 'unix:path': command }
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/go`, selectors })
    await using agent = await startAgent({ dir: dir.path, server })
    await agent.logged('Registration entries changed')
    const env = { SPIFFE_ENDPOINT_SOCKET: agent.address }
    const runs = Array.from({ length: 200 }, (_, i) => i)[Symbol.iterator]()
    const caller = async () => {
      for (const _ of runs)
        expect((await execute(command, ['once'], { env })).stdout).toContain(`spiffe://${TENANT}/go`)
    }
    await Promise.all([caller(), caller(), caller(), caller()])
    await agent.stop()
    const told = agent.lines.filter(({ event, level }) => level !== 'debug' && /denied|turned away/.test(event))
    expect(told).toEqual([])
    expect(JSON.stringify(agent.lines)).not.toContain('another program')
  },
)
