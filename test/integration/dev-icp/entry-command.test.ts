import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { TemporaryFiles } from '../../fakes/files.js'
import { icpAgent } from '../../support/terminal.js'
import { call } from '../support/dev-icp.js'

const parts: AsyncDisposable[] = []
afterEach(async () => {
  for (const part of parts.splice(0).reverse()) await part[Symbol.asyncDispose]()
})

/** Runs a command that runs on, until something is written that it waits for; stopped at the end of the test. */
async function running(args: readonly string[], until: RegExp): Promise<string> {
  const stop = new AbortController()
  const said = new EventTarget()
  let text = ''
  const heard = (all: string) => {
    text = all
    if (until.test(all)) said.dispatchEvent(new Event('said'))
  }
  const waited = once(said, 'said')
  const ended = icpAgent(args, { signal: stop.signal, onStdout: heard, onStderr: heard })
  parts.push({
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await ended
    },
  })
  const early = ended.then(({ code, stderr }) => Promise.reject(new Error(`ended with ${code}: ${stderr}`)))
  await Promise.race([waited, early])
  return text
}

async function server(...options: readonly string[]): Promise<string> {
  const files = await TemporaryFiles.create()
  parts.push(files)
  const data = files.path('icp')
  await running(['dev-icp', '--data', data, '--limits', 'off', ...options], /status --config/)
  return data
}

describe('icp-agent dev-icp entry', () => {
  test('registers a workload, lists it, and removes it by its path', async () => {
    const data = await server('--workload-trust-domain', 'acme.example')
    const entry = (command: string, ...args: readonly string[]) =>
      icpAgent(['dev-icp', 'entry', command, '--data', data, ...args])
    const created = await entry('create', '/web', 'unix:uid=1000', 'docker:label:x=a=b', '--ttl', '5m', '-o', 'json')
    expect([created.code, created.stderr]).toEqual([0, ''])
    expect(JSON.parse(created.stdout)).toMatchObject([
      {
        spiffe_id: 'spiffe://acme.example/web',
        selectors: { 'unix:uid': '1000', 'docker:label:x': 'a=b' },
        ttl: 300,
      },
    ])
    const listed = await entry('list')
    expect(listed.stdout).toContain('spiffe://acme.example/web')
    expect(listed.stdout).toContain('docker:label:x = a=b')
    expect((await entry('create', '/web', 'unix:uid=1')).code).toBe(1)
    expect((await entry('create', '/other', 'unix:uid=1')).stderr).toContain('sync.interval')
    expect((await entry('delete', '/other')).code).toBe(0)
    expect((await entry('delete', '/web')).code).toBe(0)
    expect((await entry('delete', '/web')).code).toBe(1)
    expect((await entry('list')).stdout).toBe('There are no entries.\n')
  })

  test.each([
    [['create', '/web']],
    [['create', '/web', 'unix:uid']],
    [['create', '/web', '=1000']],
    [['delete']],
    [['list', '--data', '/nowhere/at/all']],
  ])('is misused by %j', async (args) => {
    expect((await icpAgent(['dev-icp', 'entry', ...args])).code).toBe(2)
  })

  test('says which server must be started where it has ended', async () => {
    const data = await server()
    for (const part of parts.splice(-1)) await part[Symbol.asyncDispose]()
    const { code, stderr } = await icpAgent(['dev-icp', 'entry', 'list', '--data', data])
    expect(code).toBe(2)
    expect(stderr).toContain(`does not run: start it with icp-agent dev-icp --data ${data}`)
    expect(stderr).not.toContain('icp_service.address')
  })

  test('is refused in words by the server', async () => {
    const data = await server()
    const { code, stderr } = await icpAgent(['dev-icp', 'entry', 'create', '--data', data, 'no-uri', 'unix:uid=1'])
    expect(code).toBe(1)
    expect(stderr).toContain('refuses')
  })
})

describe('what the server leaves in its directory', () => {
  test.each(['tenant', 'workspace'])('starts an agent that serves what is registered: %s', async (generation) => {
    const data = await server('--generation', generation)
    for (const name of ['server.json', 'agent.yaml']) expect((await stat(`${data}/${name}`)).mode & 0o777).toBe(0o600)
    expect((await icpAgent(['validate', `${data}/agent.yaml`])).code).toBe(0)
    const uid = String(process.getuid?.())
    await icpAgent(['dev-icp', 'entry', 'create', '--data', data, '/me', `unix:uid=${uid}`])
    const { stdout } = await fetched(data)
    const { tenant_id: tenant } = JSON.parse(await readFile(`${data}/server.json`, 'utf8'))
    expect(JSON.parse(stdout).svids[0].spiffe_id).toBe(`spiffe://${tenant}/me`)
  })

  async function fetched(data: string) {
    const { runAgent } = await import('../../../agent/main/run.js')
    const stop = new AbortController()
    const sink = { write: () => undefined }
    const env = { ICP_AGENT_LOGGING__LEVEL: 'error' }
    const ended = runAgent(`${data}/agent.yaml`, { env, stdout: sink, stderr: sink, signal: stop.signal })
    parts.push({
      [Symbol.asyncDispose]: async () => {
        stop.abort()
        await ended
      },
    })
    const socket = ['--socket', `unix://${data}/run/agent.sock`]
    return await icpAgent(['api', 'fetch', 'x509', ...socket, '--timeout', '30s', '-o', 'json'])
  }
})

test('a second server in the directory of one that runs is refused, and leaves its files alone', async () => {
  const data = await server()
  const before = await readFile(`${data}/server.json`, 'utf8')
  const { code, stdout, stderr } = await icpAgent(['dev-icp', '--data', data])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toContain('runs in')
  expect(await readFile(`${data}/server.json`, 'utf8')).toBe(before)
})

describe('docs/register.md', () => {
  test('has entries that a server takes as they stand, and calls that work', async () => {
    const page = await readFile('docs/register.md', 'utf8')
    const data = await server('--workload-trust-domain', 'acme.example')
    const { address, tenant_id: tenant } = JSON.parse(await readFile(`${data}/server.json`, 'utf8'))
    const admin = { address, caPem: await readFile(`${data}/ca.pem`, 'utf8') }
    const bearer = (await readFile(`${data}/admin-token`, 'utf8')).trim()
    const filled = page.replaceAll('TRUST-DOMAIN', 'acme.example').replaceAll('ACCOUNT', tenant)
    const [, posted = ''] = /-d '(\{[\s\S]*?\})'/.exec(filled) ?? []
    const { status, json } = await call(admin, 'POST', '/v1/entries', { bearer, body: JSON.parse(posted) })
    expect(status).toBe(201)
    expect((await call(admin, 'DELETE', `/v1/entries/${json.id}`, { bearer })).status).toBe(200)
    const examples = [...filled.matchAll(/```json\n(\{.*\})\n```/g)].map(([, json = '']) => JSON.parse(json))
    expect(examples.map(({ selectors }) => Object.keys(selectors)[0])).toEqual([
      'unix:uid',
      'systemd:id',
      'docker:label:app',
      'docker:label:com.docker.compose.project',
      'k8s:ns',
    ])
    for (const example of examples) {
      expect((await call(admin, 'POST', '/v1/entries', { bearer, body: example })).status).toBe(201)
    }
  })
})
