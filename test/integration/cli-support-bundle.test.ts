import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { startAgent, TENANT, temporaryDirectory } from '../support/agent.js'
import { bundlePrograms } from '../support/bundle-programs.js'
import { pathOf } from '../support/docker-engine.js'
import { icpAgent } from '../support/terminal.js'
import { fetchOnce } from './resilience/support.js'

vi.setConfig({ testTimeout: 120_000 })

const NOWHERE = { address: 'https://icp.invalid:1', caPath: '/etc/ssl/certs/ca-certificates.crt' }
const NAMES = [
  'versions.json',
  'machine.json',
  'config.json',
  'config-in-force.json',
  'status.json',
  'workloads.json',
  'entries.json',
  'denials.json',
  'bundles.json',
  'metrics.txt',
  'log.jsonl',
  'README.txt',
]

function tar(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('tar', args, { encoding: 'utf8' })
  expect([status, stderr]).toEqual([0, ''])
  return stdout
}

test('a bundle of a running agent holds what its list says, and no secret', async () => {
  await using dir = await temporaryDirectory()
  const secrets = {
    token: `join-${randomBytes(12).toString('hex')}`,
    key: randomBytes(32).toString('base64'),
    password: `p%40ss${randomBytes(8).toString('hex')}`,
  }
  const settings = {
    AGENT__JOIN_TOKEN: secrets.token,
    SECURITY__CACHE_ENCRYPTION_KEY: secrets.key,
    ICP_SERVICE__PROXY: `http://user:${secrets.password}@127.0.0.1:1`,
    WORKLOAD_API__HOLD: '1s',
  }
  await using agent = await startAgent({ dir: dir.path, server: NOWHERE, settings })
  await expect(fetchOnce(agent.address)).rejects.toThrow()
  const config = join(dir.path, 'icp-agent.yaml')
  writeFileSync(config, `agent:\n  tenant_id: ${TENANT}\n  node_id: test-node\n  data_dir: ${agent.dataDir}\n`)
  const env = Object.fromEntries(Object.entries(settings).map(([name, value]) => [`ICP_AGENT_${name}`, value]))
  const file = join(dir.path, 'bundle.tar')
  const { code, stdout, stderr } = await icpAgent(['support-bundle', file, '--yes', '-c', config], {
    env: { ...env, ICP_AGENT_ICP_SERVICE__ADDRESS: NOWHERE.address },
  })
  expect([code, stdout]).toEqual([0, `${file}\n`])
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(tar('-tf', file).trim().split('\n')).toEqual(NAMES)
  expect(tar('-tvf', file)).toMatch(/^-rw------- root\/root /)
  for (const name of NAMES.filter((name) => name !== 'README.txt')) expect(stderr).toContain(name)
  expect(stderr).not.toContain('It lacks')

  const part = (name: string) => tar('-xOf', file, name)
  expect(JSON.parse(part('config.json'))).toMatchObject({
    'agent.node_id': { value: 'test-node' },
    'agent.join_token': { value: '[redacted]' },
  })
  expect(JSON.parse(part('status.json'))).toMatchObject({ agent: { node_id: 'test-node' } })
  expect(part('metrics.txt')).toContain('icp_agent_')
  const events = part('log.jsonl')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).event)
  expect(events).toContain('gRPC Workload API Server started')
  const all = readFileSync(file, 'latin1') + stdout + stderr
  const forms = Object.values(secrets).flatMap((text) => [text, decodeURIComponent(text), encodeURIComponent(text)])
  for (const form of [...forms, Buffer.from(secrets.key, 'base64').toString('hex')]) expect(all).not.toContain(form)
})

test('without an agent the rest is written, and what is missing is said with its reason', async () => {
  await using dir = await temporaryDirectory()
  const file = join(dir.path, 'bundle.tar')
  const socket = join(dir.path, 'admin.sock')
  const { code, stderr } = await icpAgent(['support-bundle', file, '--yes', '--admin-socket', socket], {
    env: { ICP_AGENT_AGENT__TENANT_ID: TENANT, ICP_AGENT_ICP_SERVICE__ADDRESS: NOWHERE.address },
  })
  expect(code).toBe(0)
  expect(stderr).toMatch(/It lacks:\n(?:.*\n)*? {2}status\.json +there is no .*admin\.sock/)
  const names = tar('-tf', file).trim().split('\n')
  expect(names).toEqual(expect.arrayContaining(['versions.json', 'machine.json', 'README.txt']))
  expect(names).not.toContain('status.json')
  expect(tar('-xOf', file, 'README.txt')).toContain('status.json: missing: there is no')
})

test('nothing is written without a yes, over another file, or where nobody can be asked', async () => {
  await using dir = await temporaryDirectory()
  const file = join(dir.path, 'bundle.tar')
  const args = ['support-bundle', file, '--admin-socket', join(dir.path, 'admin.sock')]
  expect((await icpAgent(args)).code).toBe(2)
  let asked = 0
  const refused = await icpAgent(args, {
    confirm: async () => {
      asked++
      return false
    },
  })
  expect([refused.code, asked]).toEqual([1, 1])
  expect(refused.stderr).toContain('versions.json')
  expect(readdirSync(dir.path)).toEqual([])
  writeFileSync(file, 'mine')
  expect((await icpAgent([...args, '--yes'])).code).toBe(1)
  expect(readFileSync(file, 'utf8')).toBe('mine')
})

test.runIf(pathOf('script') !== null)(
  'on a terminal a y writes it, and Ctrl-C, Ctrl-D or a new line is a no',
  async () => {
    await using dir = await temporaryDirectory()
    const { agent: command } = await bundlePrograms(process.cwd(), join(dir.path, 'programs'), {
      agent: 'agent/main/index.ts',
    })
    const answers = [
      ['y\n', 0],
      ['\n', 1],
      ['\x04', 1],
      ['\x03', 1],
    ] as const
    for (const [typed, expected] of answers) {
      const file = join(dir.path, `${answers.findIndex(([one]) => one === typed)}.tar`)
      const own = `exec ${process.execPath} ${command} support-bundle ${file} --admin-socket ${dir.path}/admin.sock`
      const child = spawn('script', ['-qefc', own, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
      let output = ''
      child.stdout.on('data', (piece: Buffer) => {
        output += piece
        if (output.endsWith('[y/N] ')) child.stdin.write(typed)
      })
      const [code] = await once(child, 'close')
      expect([typed, code, existsSync(file)]).toEqual([typed, expected, expected === 0])
    }
  },
)
