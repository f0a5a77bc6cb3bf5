import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { describeProblem, type Problem } from '../../../agent/config/problem.js'
import type { AgentError } from '../../../agent/errors.js'
import { detailsOf } from '../../support/details.js'
import { keysOf, load, refused, TENANT, warningsOf, withVariable } from './given.js'

describe('every problem at once', () => {
  const file = `agent:
  tenant_id: your-tenant-id-here
  node_id: "-x"
  data_dir: relative
  socket_path: tcp://127.0.0.1:4000
  renewal_threshold: 6
  join_token: "two words s3cret"
icp_service:
  address: http://icp.example
  timeout: soon
  max_retries: -1
attestation:
  type: magic
  kubernetes:
    authsec_namespaces: [ok, Not_Ok]
  unix:
    method: ptrace
    max_executable_size: 5 apples
security:
  cache_encryption_key: c2hvcnQ=
workload_api:
  max_identities: 0
  hold: 1h
sync: {interval: 2h}
logging: {level: loud, format: xml}
health: {enabled: perhaps, port: 70000, bind_address: localhost}
agnet: {}
`

  test('each with its key and line', async () => {
    const problems = await refused({ file })
    expect(problems.map(({ key, source }) => `${key} ${source.replace('c.yaml:', '')}`)).toEqual([
      'agent.tenant_id 2',
      'agent.node_id 3',
      'agent.data_dir 4',
      'agent.socket_path 5',
      'agent.renewal_threshold 6',
      'agent.join_token 7',
      'icp_service.address 9',
      'icp_service.timeout 10',
      'icp_service.max_retries 11',
      'attestation.type 13',
      'attestation.kubernetes.authsec_namespaces 15',
      'attestation.unix.method 17',
      'attestation.unix.max_executable_size 18',
      'security.cache_encryption_key 20',
      'workload_api.max_identities 22',
      'workload_api.hold 23',
      'sync.interval 24',
      'logging.level 25',
      'logging.format 25',
      'health.enabled 26',
      'health.port 26',
      'health.bind_address 26',
    ])
    expect(problems.every((problem) => problem.remedy.length > 5 && problem.problem.length > 5)).toBe(true)
  })

  test('the message holds all of them on one line, and no secret', async () => {
    const error = (await load({ file }).catch((thrown: unknown) => thrown)) as AgentError
    const problems = detailsOf(error)['problems'] as readonly Problem[]
    for (const problem of problems) expect(error.message).toContain(describeProblem(problem))
    expect(error.message).not.toMatch(/[\n\r]/)
    expect(inspect(error, { depth: 9 })).not.toMatch(/s3cret|c2hvcnQ/)
    expect((detailsOf(error)['warnings'] as readonly Problem[]).map((warning) => warning.key)).toEqual(['agnet'])
  })

  test('values are shown cut and in printable ASCII alone', async () => {
    const [problem] = await refused(withVariable('ICP_AGENT_LOGGING__LEVEL', `\u001b[31m\u202e${'x'.repeat(500)}`))
    expect(problem?.problem).toMatch(/^[\x20-\x7e…]{1,100}$/)
  })
})

describe('tenant and node', () => {
  const tenant = (value: string) => refused({ file: '', env: { ICP_AGENT_AGENT__TENANT_ID: value } })

  test.each([
    '',
    '  ',
    'your-tenant-id-here',
    'your-tenant-uuid-here',
    'YOUR-TENANT-UUID',
    '477e9f97-d8a9-442a-8d92-f771393fab66',
    '477E9F97-D8A9-442A-8D92-F771393FAB66',
    '00000000-0000-0000-0000-000000000000',
    'acme',
    '{123e4567-e89b-42d3-a456-426614174000}',
    '123e4567e89b42d3a456426614174000',
    `${TENANT}/x`,
  ])('the tenant id %j is refused', async (value) => {
    expect(await tenant(value)).toMatchObject([{ key: 'agent.tenant_id', source: 'ICP_AGENT_AGENT__TENANT_ID' }])
  })

  test('no tenant id at all is refused', async () => {
    expect(await refused({ file: '' })).toMatchObject([{ key: 'agent.tenant_id', source: 'not set' }])
    expect(await refused({ file: 'agent:\n  tenant_id: ""\n' })).toMatchObject([{ source: 'c.yaml:2' }])
  })

  test('it becomes lower case, for it is a trust domain', async () => {
    const { config } = await load({ file: '', env: { ICP_AGENT_AGENT__TENANT_ID: ` ${TENANT.toUpperCase()}\n` } })
    expect(config.agent.tenantId).toBe(TENANT)
  })

  test.each(['-a', '.a', 'a b', 'a/b', 'ä', '$(NODE_NAME)', 'x'.repeat(256)])(
    'the node id %j is refused',
    async (value) => {
      expect(keysOf(await refused(withVariable('ICP_AGENT_AGENT__NODE_ID', value)))).toEqual(['agent.node_id'])
    },
  )

  test.each(['a', '007', 'ip-10-0-0-1.ec2.internal', 'A_b', 'x'.repeat(255)])(
    'the node id %s is taken',
    async (value) => {
      expect((await load(withVariable('ICP_AGENT_AGENT__NODE_ID', value))).config.agent.nodeId).toBe(value)
    },
  )

  test('a container must be told its node id, a machine has its host name', async () => {
    const given = withVariable('X', '')
    expect(keysOf(await refused({ ...given, insideContainer: true }))).toEqual(['agent.node_id'])
    const named = withVariable('ICP_AGENT_AGENT__NODE_ID', 'n')
    expect((await load({ ...named, insideContainer: true })).config.agent.nodeId).toBe('n')
    expect(keysOf(await refused({ ...given, hostname: 'bad host' }))).toEqual(['agent.node_id'])
  })

  test('a host name that many machines share is a warning', async () => {
    const loaded = await load({ ...withVariable('X', ''), hostname: 'localhost.localdomain' })
    expect(warningsOf(loaded)).toEqual(['agent.node_id not set'])
  })
})
