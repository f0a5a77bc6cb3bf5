import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pinnedNodeBinary } from '../support/pinned-node.js'
import { Environment, WEB } from './support/environment.js'
import { compileThere, strangersFolder } from './support/stranger.js'

describe('the npm package, in the folder of a stranger', () => {
  let environment: Environment
  let folder: string
  beforeAll(async () => {
    environment = await Environment.open()
    folder = await strangersFolder(environment.dir)
    await compileThere(folder, 'test/interop/clients/stranger/program.ts')
  })
  afterAll(() => environment?.[Symbol.asyncDispose]())

  it('brings no other package along', () => {
    const installed = readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'))
    expect(installed.sort()).toEqual(['@types', 'icp-agent', 'undici-types'])
  })

  it('has the command, too', async () => {
    const { stdout } = await promisify(execFile)(join(folder, 'node_modules/.bin/icp-agent'), ['version'])
    expect(stdout).toContain('icp-agent')
  })

  it.each([
    ['the Node of this machine', async () => process.execPath],
    ['the Node that is handed out', pinnedNodeBinary],
  ])('gives a service of TypeScript its identity on %s', async (_, node) => {
    const { stdout } = await promisify(execFile)(await node(), ['program.js'], {
      cwd: folder,
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: environment.agent.address },
      timeout: 120_000,
    })
    expect(JSON.parse(stdout)).toEqual({
      id: WEB,
      watched: WEB,
      jwt: WEB,
      forOthers: 'request.invalid',
      hello: `hello ${WEB}`,
      refused: 'client.peer_refused',
      retries: 0,
    })
  })

  it('is loaded by CommonJS as well', async () => {
    const script = "console.log(typeof require('icp-agent/client').X509Source.open)"
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=commonjs', '--eval', script], {
      cwd: folder,
    })
    expect(stdout).toBe('function\n')
  })
})
