import { describe, expect, test } from 'vitest'
import { keysOf, load, refused, TENANT, warningsOf } from './given.js'

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: placeholders are what is tested
describe('sources', () => {
  test('a file alone is enough', async () => {
    const { config, warnings } = await load({
      file: `agent:\n  tenant_id: ${TENANT}\n  node_id: n\nhealth: {port: 9}\n`,
    })
    expect(config.agent).toMatchObject({ tenantId: TENANT, nodeId: 'n' })
    expect(config.health.port).toBe(9)
    expect(warnings).toEqual([])
  })

  test('the environment alone is enough, and the missing file is a warning', async () => {
    const loaded = await load({ env: { ICP_AGENT_AGENT__TENANT_ID: TENANT } })
    expect(loaded.config.agent).toMatchObject({ tenantId: TENANT, nodeId: 'node-1' })
    expect(warningsOf(loaded)).toEqual(['(file) c.yaml'])
  })

  test('the environment wins over the file, whatever its case and however deep', async () => {
    const { config } = await load({
      file: `agent: {tenant_id: 00000000-1111-4222-8333-444444444444}\nattestation: {kubernetes: {token_path: /a, cluster_name: c}}\n`,
      env: {
        ICP_AGENT_AGENT__TENANT_ID: TENANT,
        icp_agent_attestation__kubernetes__token_path: '/b',
        Icp_Agent_Health__Enabled: 'no',
      },
    })
    expect(config.agent.tenantId).toBe(TENANT)
    expect(config.attestation.kubernetes).toMatchObject({ tokenPath: '/b', clusterName: 'c' })
    expect(config.health.enabled).toBe(false)
  })

  test('of two variables that differ in case the one in upper case counts, with a warning', async () => {
    const loaded = await load({
      file: '',
      env: { ICP_AGENT_AGENT__TENANT_ID: TENANT, icp_agent_agent__tenant_id: 'nonsense' },
    })
    expect(loaded.config.agent.tenantId).toBe(TENANT)
    expect(warningsOf(loaded)).toEqual(['agent.tenant_id ICP_AGENT_AGENT__TENANT_ID'])
  })

  test('placeholders are expanded in the file and in the environment', async () => {
    const { config } = await load({
      file: 'agent: {tenant_id: "${TENANT_ID:-x}", node_id: "${NODE_NAME}"}\nhealth: {port: "${PORT:-8081}"}\n',
      env: {
        TENANT_ID: TENANT,
        NODE_NAME: 'worker-7',
        ICP_AGENT_AGENT__JOIN_TOKEN_PATH: '/etc/icp-agent/join-tokens/${NODE_NAME}',
      },
    })
    expect(config.agent).toMatchObject({ tenantId: TENANT, nodeId: 'worker-7' })
    expect(config.agent.joinTokenPath).toBe('/etc/icp-agent/join-tokens/worker-7')
    expect(config.health.port).toBe(8081)
    expect(config.attestation.kubernetes.nodeName).toBe('worker-7')
  })

  test('an unresolved placeholder in a value in force is a problem that names key, place and variable', async () => {
    const [problem, ...rest] = await refused({ file: `agent:\n  tenant_id: ${TENANT}\n  node_id: "\${NODE_NAME}"\n` })
    expect(rest).toEqual([])
    expect(problem).toMatchObject({ key: 'agent.node_id', source: 'c.yaml:3' })
    expect(problem?.problem).toContain('NODE_NAME')
  })

  test('a malformed placeholder is a problem, never a default', async () => {
    const problems = await refused({ file: `agent: {tenant_id: ${TENANT}, node_id: "\${A-b}"}`, env: { A: 'a' } })
    expect(problems).toMatchObject([{ key: 'agent.node_id', source: 'c.yaml:1' }])
  })

  test('an unresolved placeholder that the environment overrides, or that no setting reads, is none', async () => {
    const { config } = await load({
      file: 'agent: {tenant_id: "${TENANT_ID}"}\nplugins: {x: "${NADA}"}\n',
      env: { ICP_AGENT_AGENT__TENANT_ID: TENANT },
    })
    expect(config.agent.tenantId).toBe(TENANT)
  })

  test('an empty variable sets back to the default, with a warning where the file has a value', async () => {
    const loaded = await load({
      file: `agent: {tenant_id: ${TENANT}}\nlogging:\n  file_path: /var/log/x\n`,
      env: { ICP_AGENT_LOGGING__FILE_PATH: '', ICP_AGENT_HEALTH__PORT: '' },
    })
    expect(loaded.config.logging.filePath).toBeNull()
    expect(loaded.config.health.port).toBe(8080)
    expect(warningsOf(loaded)).toEqual(['logging.file_path ICP_AGENT_LOGGING__FILE_PATH'])
  })

  test('a variable for a whole section is refused, as is a section that is a text', async () => {
    const file = `agent:\n  tenant_id: ${TENANT}\nhealth: yes\nattestation: {kubernetes: {cluster_name: c}, docker: [a]}\n`
    const env = { ICP_AGENT_ATTESTATION__KUBERNETES: '{}', ICP_AGENT_HEALTH__PORT: '1' }
    expect(keysOf(await refused({ file, env })).sort()).toEqual([
      'attestation.docker',
      'attestation.kubernetes',
      'health',
    ])
  })
})

describe('files of the older agent', () => {
  const older = `agent:
  tenant_id: "\${TENANT_ID:-477e9f97-d8a9-442a-8d92-f771393fab66}"
  node_id: "\${NODE_ID:-docker-node-1}"
  data_dir: ./data
  renewal_threshold: "6h"
icp_service:
  address: "\${ICP_SERVICE_ADDRESS:-https://prod.api.authsec.ai/spiresvc}"
  trust_bundle_path: /etc/icp-agent/trust-bundle.pem
  timeout: 30
attestation:
  type: "docker"
  kubernetes: {use_token_review: true, api_server_url: ""}
security: {cache_encryption_key: "", cache_path: ./data/cache/svid.cache}
logging: {level: "\${LOG_LEVEL:-info}", file_path: ""}
plugins: {docker: {enabled: false}}
`

  test('load with nothing but warnings', async () => {
    const loaded = await load({
      file: older,
      env: { TENANT_ID: TENANT },
      workingDirectory: '/app',
      insideContainer: true,
    })
    expect(loaded.config.agent).toMatchObject({ tenantId: TENANT, nodeId: 'docker-node-1', dataDir: '/app/data' })
    expect(loaded.config.security.cachePath).toBe('/app/data/cache/svid.cache')
    expect(loaded.warnings.map((warning) => warning.key)).toEqual([
      'attestation.kubernetes.use_token_review',
      'attestation.kubernetes.api_server_url',
      'plugins',
      'icp_service.trust_bundle_path',
    ])
  })

  test('never make the agent attest to the sample tenant that stands in them', async () => {
    const given = { file: older, workingDirectory: '/app' }
    expect(keysOf(await refused(given))).toEqual(['agent.tenant_id'])
    const { config } = await load({ ...given, env: { ICP_AGENT_AGENT__TENANT_ID: TENANT } })
    expect(config.agent.tenantId).toBe(TENANT)
  })
})
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: placeholders are what is tested
