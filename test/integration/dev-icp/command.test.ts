import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { codeOf } from '../../../agent/errors.js'
import { devIcp } from '../../../agent/main/commands/dev-icp.js'
import { TemporaryFiles } from '../../fakes/files.js'
import { call } from '../support/dev-icp.js'

const TENANT = '11111111-2222-4333-8444-555555555555'

interface Running extends AsyncDisposable {
  readonly listening: { event: string; address: string; ca_path: string; tenant_id: string }
  readonly stderr: () => string
  stop(): Promise<number>
}

/** Runs the command until it says that it listens. */
async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Running> {
  const stop = new AbortController()
  const errors: string[] = []
  let exit: Promise<number> = Promise.resolve(0)
  const line = await new Promise<string>((resolve, reject) => {
    const stdout = { write: (text: string) => resolve(text) }
    const stderr = { write: (text: string) => void errors.push(text) }
    exit = devIcp.run(args, { env, stdout, stderr, signal: stop.signal })
    exit.catch(reject)
  })
  expect(line.endsWith('\n')).toBe(true)
  const end = () => {
    stop.abort()
    return exit
  }
  return {
    listening: JSON.parse(line),
    stderr: () => errors.join(''),
    stop: end,
    [Symbol.asyncDispose]: async () => void (await end()),
  }
}

async function failure(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  return codeOf(await run(args, env).catch((error: unknown) => error))
}

/** Enough of a server to call it. */
async function serverAt(running: Running) {
  const { address, ca_path: caPath } = running.listening
  return { address, caPem: await readFile(caPath, 'utf8') }
}

describe('icp-agent dev-icp', () => {
  test('prints one line of JSON when it listens, says what it is for, and stops with 0', async () => {
    await using files = await TemporaryFiles.create()
    const data = files.path('icp')
    await using running = await run(['--data', data, '--tenant-id', TENANT, '--listen', '127.0.0.1:0'])
    expect(running.listening).toEqual({
      event: 'listening',
      address: expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+\/spiresvc$/),
      ca_path: `${data}/ca.pem`,
      tenant_id: TENANT,
    })
    expect(running.stderr()).toContain('demos and tests')
    expect((await call(await serverAt(running), 'GET', '/health')).status).toBe(200)
    expect(await running.stop()).toBe(0)
  })

  test('takes the administrator’s token from a file, the environment or an option, else from its directory', async () => {
    await using files = await TemporaryFiles.create()
    const data = files.path('icp')
    await files.writeAtomically(files.path('token'), Buffer.from('from-file\n'))
    const status = async (bearer: string, args: readonly string[], env: Record<string, string> = {}) => {
      await using running = await run(['--data', data, ...args], env)
      return (await call(await serverAt(running), 'GET', '/v1/agents', { bearer })).status
    }
    expect(await status('from-file', ['--admin-token-file', files.path('token')])).toBe(200)
    expect(await status('from-env', [], { ICP_DEV_ADMIN_TOKEN: 'from-env' })).toBe(200)
    expect(await status('from-option', ['--admin-token', 'from-option'], { ICP_DEV_ADMIN_TOKEN: 'x' })).toBe(200)
    expect(await status('wrong', [])).toBe(401)
    expect(await status((await readFile(`${data}/admin-token`, 'utf8')).trim(), [])).toBe(200)
  })

  test('passes every other option on', async () => {
    await using files = await TemporaryFiles.create()
    await using running = await run([
      ...['--data', files.path('icp'), '--generation', 'workspace', '--limits', 'off', '--jwt-kid', 'on', '--verbose'],
      ...['--basic-constraints', '--issuer-cache', '1s'],
      ...['--agent-ttl', '20s', '--svid-ttl', '90s', '--workload-trust-domain', 'acme.example'],
    ])
    const server = await serverAt(running)
    const admin = { bearer: (await readFile(files.path('icp', 'admin-token'), 'utf8')).trim() }
    const entry = { spiffe_id: 'spiffe://acme.example/web', selectors: { 'unix:uid': '1' } }
    expect((await call(server, 'POST', '/v1/entries', { ...admin, body: entry })).status).toBe(201)
    expect((await call(server, 'POST', '/v1/node/attest', { body: {} })).status).toBe(401)
    expect(running.stderr()).toContain('POST /v1/node/attest 401')
  })

  test('says at length what it is where it is exposed, and tells commands of its machine where it is', async () => {
    await using files = await TemporaryFiles.create()
    const exposed = ['--listen', '0.0.0.0:0', '--expose', 'icp.trial.svc']
    await using running = await run(['--data', files.path('icp'), ...exposed])
    expect(running.listening.address).toMatch(/^https:\/\/icp\.trial\.svc:\d+\//)
    expect(running.stderr()).toMatch(/\*{70}\n.*FOR TRIALS ONLY/)
    const { address } = JSON.parse(await readFile(files.path('icp', 'server.json'), 'utf8')) as { address: string }
    expect(address).toMatch(/^https:\/\/127\.0\.0\.1:\d+\//)
  })

  test('refuses what it cannot use', async () => {
    await using files = await TemporaryFiles.create()
    const data = ['--data', files.path('icp')]
    expect(await failure([])).toBe('command.misused')
    expect(await failure([...data, '--listen', '0.0.0.0:0'])).toBe('command.misused')
    expect(await failure([...data, '--tenant-id', 'acme'])).toBe('command.misused')
    expect(await failure([...data, '--generation', 'oldest'])).toBe('command.misused')
    expect(await failure([...data, '--svid-ttl', '1500ms'])).toBe('command.misused')
    expect(await failure([...data, '--workload-trust-domain', 'a/b'])).toBe('command.misused')
    expect(await failure([...data, '--admin-token', 'a', '--admin-token-file', 'b'])).toBe('command.misused')
    expect(await failure([...data, '--admin-token-file', files.path('missing')])).toBe('command.misused')
  })

  test('says when the port is taken', async () => {
    await using files = await TemporaryFiles.create()
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const address = taken.address()
    const port = typeof address === 'object' && address ? address.port : 0
    expect(await failure(['--data', files.path('icp'), '--listen', `127.0.0.1:${port}`])).toBe('command.misused')
    await new Promise((resolve) => taken.close(resolve))
  })
})
