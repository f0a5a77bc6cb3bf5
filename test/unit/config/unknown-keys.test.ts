import { describe, expect, test } from 'vitest'
import { load, TENANT } from './given.js'

describe('unknown keys', () => {
  const warn = async (file: string, env: Record<string, string> = {}) => {
    const { warnings } = await load({ file, env: { ICP_AGENT_AGENT__TENANT_ID: TENANT, ...env } })
    return warnings.map(({ key, source, remedy }) => ({ key, source, remedy }))
  }

  test.each([
    ['agent: {nodeId: x}', 'agent.nodeId', 'agent.node_id'],
    ['agent: {soket_path: x}', 'agent.soket_path', 'agent.socket_path'],
    ['node_id: x', 'node_id', 'agent.node_id'],
    ['icp-service: {timeout: 3}', 'icp-service', 'icp_service'],
    ['workload_api: {limits: {conections: 3}}', 'workload_api.limits.conections', 'workload_api.limits.connections'],
    ['healthz: {port: 1}', 'healthz', 'health'],
    ['docker: {socket_path: /x}', 'docker', 'attestation.docker'],
    ['security: {cache_encryption_keys: x}', 'security.cache_encryption_keys', 'security.cache_encryption_key'],
    ['agent: {address: x}', 'agent.address', 'icp_service.address'],
    ['logging: {interval: 1m}', 'logging.interval', 'sync.interval'],
    ['icp_service: {tenant_id: x}', 'icp_service.tenant_id', 'agent.tenant_id'],
    ['agent: {server_address: x}', 'agent.server_address', 'icp_service.address'],
    ['agent: {log_level: x}', 'agent.log_level', 'logging.level'],
    ['agent: {logFile: x}', 'agent.logFile', 'logging.file_path'],
    ['socketPath: x', 'socketPath', 'agent.socket_path'],
    ['admin_socket_path: /x', 'admin_socket_path', 'agent.admin_socket_path'],
    ['agent: {join_token_file: x}', 'agent.join_token_file', 'agent.join_token_path'],
    ['workspace_id: x', 'workspace_id', 'agent.tenant_id'],
    ['health_checks: {bind_port: 1}', 'health_checks', 'health'],
    ['agent: {socket: /x}', 'agent.socket', 'agent.socket_path'],
    ['socket: /x', 'socket', 'agent.socket_path'],
    ['attestation: {docker: {socket: /x}}', 'attestation.docker.socket', 'attestation.docker.socket_path'],
    [
      'attestation: {docker: {docker_socket_path: /x}}',
      'attestation.docker.docker_socket_path',
      'attestation.docker.socket_path',
    ],
    ['attestation: {k8s: {node_name: x}}', 'attestation.k8s', 'attestation.kubernetes'],
    ['agent: {cluster: x}', 'agent.cluster', 'attestation.kubernetes.cluster_name'],
    ['attestors: {docker: {}}', 'attestors', 'attestation'],
    ['health: {listener_enabled: true}', 'health.listener_enabled', 'health.enabled'],
    ['helth:', 'helth', 'health'],
  ])('%s: the nearest known key is named', async (file, key, nearest) => {
    expect(await warn(file)).toEqual([{ key, source: 'c.yaml:1', remedy: `did you mean ${nearest}?` }])
  })

  test('a key that has nothing to do with ours is named alone', async () => {
    const [warning] = await warn('zebra: {stripes: 3}\n')
    expect(warning).toMatchObject({ key: 'zebra' })
    expect(warning?.remedy).not.toContain('did you mean')
  })

  test.each([
    ['agent: {trust_domain: x}', 'agent.trust_domain', 'agent.tenant_id'],
    ['agent: {server_port: 8081}', 'agent.server_port', 'icp_service.address'],
    ['agent: {insecure_bootstrap: true}', 'agent.insecure_bootstrap', 'icp_service.trust_bundle_path'],
    ['health: {live_path: /live}', 'health.live_path', '/healthz'],
    ['server: {address: x}', 'server', 'icp_service.address'],
    ['telemetry: {Prometheus: {port: 1}}', 'telemetry', '/metrics'],
  ])('%s: what SPIRE has and this agent has not is explained', async (file, key, named) => {
    const [warning, ...others] = await warn(file)
    expect(others).toEqual([])
    expect(warning?.key).toBe(key)
    expect(warning?.remedy).toContain(named)
    expect(warning?.remedy).not.toContain('did you mean')
  })

  test('an unknown variable is answered with a variable', async () => {
    expect(await warn('', { ICP_AGENT_AGENT__TENNANT_ID: 'x' })).toEqual([
      {
        key: 'agent.tennant_id',
        source: 'ICP_AGENT_AGENT__TENNANT_ID',
        remedy: 'did you mean ICP_AGENT_AGENT__TENANT_ID?',
      },
    ])
  })

  test('a variable that lacks the double underscore is noticed, those of a Kubernetes Service are not', async () => {
    const service = {
      ICP_AGENT_PORT: 'tcp://10.0.0.1:8080',
      ICP_AGENT_SERVICE_PORT: '8080',
      ICP_AGENT_PORT_8080_TCP_ADDR: '10.0.0.1',
      ICP_AGENT_SERVICE_HOST: '10.0.0.1',
    }
    expect(await warn('', { ...service, ICP_AGENT_NODE_ID: 'x', ICP_AGENT_LOGGING_LEVEL: 'x' })).toMatchObject([
      { key: 'logging.level', source: 'ICP_AGENT_LOGGING_LEVEL' },
      { key: 'agent.node_id', source: 'ICP_AGENT_NODE_ID' },
    ])
  })

  test("what the older daemon's files have is known to be gone", async () => {
    const file =
      'plugins: {unix: {enabled: true}}\nmetrics: {enabled: true, format: json}\ncertificate_lifecycle: {check_interval: 30}\n'
    const warnings = await warn(file)
    expect(warnings.map(({ key }) => key)).toEqual([
      'plugins',
      'metrics.enabled',
      'metrics.format',
      'certificate_lifecycle',
    ])
    // The nearest known key, health.enabled, would lead astray.
    expect(JSON.stringify(warnings)).not.toContain('did you mean')
  })

  test('names of object properties are keys like any other', async () => {
    const warnings = await warn('__proto__: {x: 1}\nconstructor: 2\n')
    expect(warnings.map(({ key }) => key)).toEqual(['__proto__', 'constructor'])
    for (const { remedy } of warnings) expect(remedy).toContain('remove it')
  })
})
