import { describe, expect, test } from 'vitest'
import { type Given, keysOf, load, refused, TENANT, warningsOf, withVariable } from './given.js'

const config = async (name: string, value: string) => (await load(withVariable(name, value))).config
const refusedKeys = async (name: string, value: string) => keysOf(await refused(withVariable(name, value)))

test('the defaults are those that are documented', async () => {
  const { config, warnings } = await load({ file: `agent: {tenant_id: ${TENANT}}` })
  const account = '/var/run/secrets/kubernetes.io/serviceaccount'
  expect(warnings).toEqual([])
  expect(config).toEqual({
    agent: {
      tenantId: TENANT,
      nodeId: 'node-1',
      dataDir: '/var/lib/icp-agent',
      socketPath: '/run/spire/sockets/agent.sock',
      adminSocketPath: '/var/lib/icp-agent/admin.sock',
      renewalThresholdMs: 6 * 3_600_000,
      renewalThresholdExplicit: false,
      joinToken: null,
      joinTokenPath: null,
      watchConfig: false,
    },
    icpService: {
      address: 'https://prod.api.authsec.ai/spiresvc',
      trustBundlePath: null,
      csrCommonName: { mode: 'auto' },
      timeoutMs: 30_000,
      maxRetries: 3,
      retryBackoffMs: 5000,
      traceparent: false,
      proxy: { httpsProxy: null, noProxy: null },
    },
    attestation: {
      type: 'auto',
      kubernetes: {
        tokenPath: `${account}/token`,
        clusterName: '',
        apiTokenPath: `${account}/token`,
        apiCaPath: `${account}/ca.crt`,
        authsecNamespaces: [],
        source: 'api',
        nodeName: 'node-1',
        containerWaitMs: 30_000,
        ownPod: null,
        kubeletAddress: 'https://node-1:10250',
        kubeletCaPath: `${account}/ca.crt`,
      },
      docker: { socketPath: '/var/run/docker.sock', authsecLabels: false, imageLabels: 'separate' },
      unix: { method: 'procfs', forgeable: false, maxExecutableBytes: 512 * 1024 * 1024 },
    },
    security: {
      cacheEncryptionKey: null,
      cacheEncryptionKeyPrevious: null,
      cachePath: '/var/lib/icp-agent/cache/svid.cache',
      revokeRemoved: false,
    },
    workloadApi: {
      maxIdentities: 64,
      allowUnauthenticatedVerifiers: false,
      holdMs: 4000,
      limits: {
        connections: 4096,
        connectionsPerSubject: 512,
        connectionsPerPid: 64,
        rates: { connections: { perSecond: 50, burst: 1_000 }, calls: { perSecond: 250, burst: 2_000 } },
        streamsPerConnection: 100,
        maxMessageBytes: 65_536,
        idleConnectionMs: 60_000,
        stalledStreamMs: 30_000,
      },
    },
    sds: {
      enabled: true,
      names: { svid: 'default', bundle: 'ROOTCA', allBundles: 'ALL' },
      disableSpiffeCertValidation: false,
    },
    jwt: { validation: 'auto' },
    sync: { intervalMs: 30_000, maxIntervalMs: 600_000, bundleIntervalMs: 300_000 },
    logging: { level: 'info', format: 'json', filePath: null },
    audit: { path: null, failClosed: false },
    health: {
      ...{ enabled: true, port: 8080, waitForKubernetes: false, bindAddress: '127.0.0.1' },
      ...{ tls: 'off', tlsCertPath: null, tlsKeyPath: null },
    },
    outputs: { bundleDir: null, formats: ['pem'] },
    metrics: { spiffeIdLabels: false, bearerTokenPath: null },
  })
})

describe('the address of the ICP server', () => {
  test.each([
    ['https://icp.example/spiresvc/', 'https://icp.example/spiresvc'],
    ['https://ICP.example:443', 'https://icp.example'],
    ['https://icp.example:8443/a//', 'https://icp.example:8443/a'],
    ['http://localhost:8080/spiresvc', 'http://localhost:8080/spiresvc'],
    ['http://127.1.2.3', 'http://127.1.2.3'],
    ['http://[::1]:1/', 'http://[::1]:1'],
  ])('%s is taken', async (value, address) => {
    expect((await config('ICP_AGENT_ICP_SERVICE__ADDRESS', value)).icpService.address).toBe(address)
  })

  test.each([
    'http://icp.example',
    'http://localhost.example',
    'http://127.0.0.1.example',
    'http://10.0.0.1',
    'http://icp.default.svc.cluster.local:8080',
    'ftp://localhost',
    'icp.example',
    'https://',
    'https://icp.example?x=1',
    'https://user:s3cret@icp.example',
  ])('%s is refused', async (value) => {
    const problems = await refused(withVariable('ICP_AGENT_ICP_SERVICE__ADDRESS', value))
    expect(keysOf(problems)).toEqual(['icp_service.address'])
    expect(JSON.stringify(problems)).not.toContain('s3cret')
  })
})

describe('socket paths', () => {
  const set = 'ICP_AGENT_AGENT__SOCKET_PATH'
  const long = (bytes: number) => `/${'x'.repeat(bytes - 1)}`

  test.each([
    ['unix:///run/a.sock', '/run/a.sock'],
    ['unix:/run/a.sock', '/run/a.sock'],
    ['/run//b/../a.sock', '/run/a.sock'],
    [long(107), long(107)],
    [`unix://${long(107)}`, long(107)],
  ])('%s is taken', async (value, path) => {
    expect((await config(set, value)).agent.socketPath).toBe(path)
  })

  test.each(['/run/spire/sockets/admin.sock', '/run/spire/sockets/deep/admin.sock'])(
    '%s is refused for administrators: workloads mount its directory',
    async (value) => {
      expect(await refusedKeys('ICP_AGENT_AGENT__ADMIN_SOCKET_PATH', value)).toEqual(['agent.admin_socket_path'])
    },
  )

  test('administrators may have a socket anywhere else', async () => {
    const { agent } = await config('ICP_AGENT_AGENT__ADMIN_SOCKET_PATH', 'unix:///run/spire/admin.sock')
    expect(agent.adminSocketPath).toBe('/run/spire/admin.sock')
  })

  test.each([
    'tcp://127.0.0.1:4000',
    'unix://a.sock',
    'unix:a.sock',
    '/run/',
    'http:///x',
    long(108),
    `/${'ä'.repeat(54)}`,
  ])('%s is refused', async (value) => {
    expect(await refusedKeys(set, value)).toEqual(['agent.socket_path'])
  })

  test('the engine has the same forms', async () => {
    const { attestation } = await config('ICP_AGENT_ATTESTATION__DOCKER__SOCKET_PATH', 'unix:///run/podman/podman.sock')
    expect(attestation.docker.socketPath).toBe('/run/podman/podman.sock')
    expect(await refusedKeys('ICP_AGENT_ATTESTATION__DOCKER__SOCKET_PATH', 'tcp://h:2375')).toHaveLength(1)
  })

  test('a socket below data_dir is a warning, one beside it is not', async () => {
    const given = (path: string) => ({ ...withVariable(set, path).env, ICP_AGENT_AGENT__DATA_DIR: '/d' })
    const warnings = async (path: string) => warningsOf(await load({ file: '', env: given(path) }))
    expect(await warnings('/d/a.sock')).toEqual([`agent.socket_path ${set}`])
    expect(await warnings('/d/e/a.sock')).toEqual([`agent.socket_path ${set}`])
    expect(await warnings('/data/a.sock')).toEqual([])
  })
})

describe('paths', () => {
  test('a relative one is resolved against the working directory, if that is known', async () => {
    const given = withVariable('ICP_AGENT_AGENT__DATA_DIR', './data')
    expect((await load({ ...given, workingDirectory: '/app' })).config.agent.dataDir).toBe('/app/data')
    expect(keysOf(await refused(given))).toEqual(['agent.data_dir'])
  })

  test('the cache lies in data_dir unless it is told where', async () => {
    expect((await config('ICP_AGENT_AGENT__DATA_DIR', '/d')).security.cachePath).toBe('/d/cache/svid.cache')
    expect((await config('ICP_AGENT_SECURITY__CACHE_PATH', '/c/x')).security.cachePath).toBe('/c/x')
  })
})

describe('values', () => {
  test.each([
    ['30', 30_000],
    ['2.5', 2500],
    ['45s', 45_000],
    ['2m', 120_000],
  ])('a timeout of %s', async (value, ms) => {
    expect((await config('ICP_AGENT_ICP_SERVICE__TIMEOUT', value)).icpService.timeoutMs).toBe(ms)
  })

  test('a threshold that the user sets is known as such, even at the default', async () => {
    expect((await config('ICP_AGENT_AGENT__RENEWAL_THRESHOLD', '6h')).agent.renewalThresholdExplicit).toBe(true)
    expect((await config('ICP_AGENT_AGENT__RENEWAL_THRESHOLD', '')).agent.renewalThresholdExplicit).toBe(false)
  })

  test.each([
    ['auto', { mode: 'auto' }],
    ['empty', { mode: 'empty' }],
    ['svid@localhost', { mode: 'text', text: 'svid@localhost' }],
    ['Auto', { mode: 'text', text: 'Auto' }],
  ])('a common name of %s', async (value, expected) => {
    expect((await config('ICP_AGENT_ICP_SERVICE__CSR_COMMON_NAME', value)).icpService.csrCommonName).toEqual(expected)
  })

  test('a common name over 64 characters or with others than ASCII is refused', async () => {
    for (const value of ['x'.repeat(65), 'ä']) {
      expect(await refusedKeys('ICP_AGENT_ICP_SERVICE__CSR_COMMON_NAME', value)).toHaveLength(1)
    }
  })

  test.each([
    ['agents, ai-prod ,,agents', ['agents', 'ai-prod']],
    ['', []],
  ])('namespaces %j by variable', async (value, expected) => {
    const name = 'ICP_AGENT_ATTESTATION__KUBERNETES__AUTHSEC_NAMESPACES'
    expect((await config(name, value)).attestation.kubernetes.authsecNamespaces).toEqual(expected)
  })

  test.each([
    ['https://10.0.0.7:10250', 'https://10.0.0.7:10250'],
    ['https://Worker-1:10250/', 'https://worker-1:10250'],
    ['https://[fd00::7]:10250', 'https://[fd00::7]:10250'],
  ])('the kubelet at %s', async (value, expected) => {
    const name = 'ICP_AGENT_ATTESTATION__KUBERNETES__KUBELET_ADDRESS'
    expect((await config(name, value)).attestation.kubernetes.kubeletAddress).toBe(expected)
  })

  test.each([
    'http://10.0.0.7:10255',
    'https://10.0.0.7:10250/pods',
    'https://10.0.0.7:10250?x=1',
    'worker-1:10250',
    'https://user:s3cret@worker-1:10250',
  ])('no kubelet at %s', async (value) => {
    const problems = await refused(withVariable('ICP_AGENT_ATTESTATION__KUBERNETES__KUBELET_ADDRESS', value))
    expect(keysOf(problems)).toHaveLength(1)
    expect(JSON.stringify(problems)).not.toContain('s3cret')
  })

  test('the authority of the API stands for that of the kubelet, unless it has its own', async () => {
    const kubelet = async (name: string) => (await config(name, '/ca.pem')).attestation.kubernetes.kubeletCaPath
    expect(await kubelet('ICP_AGENT_ATTESTATION__KUBERNETES__API_CA_PATH')).toBe('/ca.pem')
    expect(await kubelet('ICP_AGENT_ATTESTATION__KUBERNETES__KUBELET_CA_PATH')).toBe('/ca.pem')
  })

  test('namespaces as a list, empty or null', async () => {
    const namespaces = async (yaml: string) => {
      const file = `agent: {tenant_id: ${TENANT}}\nattestation: {kubernetes: {authsec_namespaces: ${yaml}}}`
      return (await load({ file })).config.attestation.kubernetes.authsecNamespaces
    }
    expect(await namespaces('[a, "b"]')).toEqual(['a', 'b'])
    expect(await namespaces('[]')).toEqual([])
    expect(await namespaces('')).toEqual([])
  })

  test.each(['*', 'a b', 'UPPER'])('the namespace %s is refused', async (value) => {
    expect(await refusedKeys('ICP_AGENT_ATTESTATION__KUBERNETES__AUTHSEC_NAMESPACES', value)).toHaveLength(1)
  })

  test.each(['constructor', '__proto__', 'toString'])(
    'the name of an object property is no word: %s',
    async (value) => {
      expect(await refusedKeys('ICP_AGENT_LOGGING__LEVEL', value)).toEqual(['logging.level'])
    },
  )

  test('words are taken in any case, and `warn` as well', async () => {
    expect((await config('ICP_AGENT_LOGGING__LEVEL', 'DEBUG')).logging.level).toBe('debug')
    expect((await config('ICP_AGENT_LOGGING__LEVEL', 'Warn')).logging.level).toBe('warning')
    expect((await config('ICP_AGENT_HEALTH__ENABLED', 'FALSE')).health.enabled).toBe(false)
  })

  test.each([
    ['0.0.0.0', '0.0.0.0'],
    ['::', '::'],
    ['[::1]', '::1'],
  ])('the bind address %s', async (value, address) => {
    expect((await config('ICP_AGENT_HEALTH__BIND_ADDRESS', value)).health.bindAddress).toBe(address)
  })

  test('a name is no bind address', async () => {
    expect(await refusedKeys('ICP_AGENT_HEALTH__BIND_ADDRESS', 'localhost')).toEqual(['health.bind_address'])
  })

  test('a list or section in the place of a value is refused', async () => {
    const file = `agent: {tenant_id: [${TENANT}], node_id: {a: b}}\nattestation: {kubernetes: {authsec_namespaces: [[a]]}}`
    expect(keysOf(await refused({ file }))).toEqual([
      'agent.tenant_id',
      'agent.node_id',
      'attestation.kubernetes.authsec_namespaces',
    ])
  })

  test('an interval too short for the share of entries is a warning with the arithmetic', async () => {
    const { warnings } = await load(withVariable('ICP_AGENT_SYNC__INTERVAL', '2s'))
    expect(warnings).toEqual([
      {
        key: 'sync.interval',
        source: 'ICP_AGENT_SYNC__INTERVAL',
        problem:
          'is 2s, but the agent reads no more often than every 6.7s: of the 27 requests a minute that the agent sends (the server allows 30 per address), entry syncs may use a third, which is 9 a minute',
        remedy: 'use 6.7s or more',
      },
    ])
    expect((await load(withVariable('ICP_AGENT_SYNC__INTERVAL', '6700ms'))).warnings).toEqual([])
    expect(warningsOf(await load(withVariable('ICP_AGENT_SYNC__BUNDLE_INTERVAL', '1s')))).toEqual([
      'sync.bundle_interval ICP_AGENT_SYNC__BUNDLE_INTERVAL',
    ])
    expect((await load(withVariable('ICP_AGENT_SYNC__BUNDLE_INTERVAL', '5s'))).warnings).toEqual([])
  })

  test('limits that contradict one another are a warning, intervals that do are a problem', async () => {
    expect(warningsOf(await load(withVariable('ICP_AGENT_WORKLOAD_API__LIMITS__CONNECTIONS_PER_PID', '600')))).toEqual([
      'workload_api.limits.connections_per_pid ICP_AGENT_WORKLOAD_API__LIMITS__CONNECTIONS_PER_PID',
    ])
    expect(await refusedKeys('ICP_AGENT_SYNC__MAX_INTERVAL', '10s')).toEqual(['sync.max_interval'])
    expect(await refusedKeys('ICP_AGENT_SYNC__INTERVAL', '20m')).toEqual(['sync.interval'])
  })
})

test('bundles are never written beside the socket or the keys', async () => {
  for (const path of ['/run/spire/sockets', '/var/lib/icp-agent']) {
    expect(await refusedKeys('ICP_AGENT_OUTPUTS__BUNDLE_DIR', path)).toEqual(['outputs.bundle_dir'])
  }
  expect((await config('ICP_AGENT_OUTPUTS__FORMATS', 'jwks,spiffe')).outputs.formats).toEqual(['jwks', 'spiffe'])
  expect(await refusedKeys('ICP_AGENT_OUTPUTS__FORMATS', 'jks')).toEqual(['outputs.formats'])
})

test('the three names of secrets differ, and hold no space', async () => {
  expect((await config('ICP_AGENT_SDS__DEFAULT_SVID_NAME', 'mine')).sds.names.svid).toBe('mine')
  expect(await refusedKeys('ICP_AGENT_SDS__DEFAULT_SVID_NAME', 'ROOTCA')).toEqual(['sds.default_bundle_name'])
  expect(await refusedKeys('ICP_AGENT_SDS__DEFAULT_ALL_BUNDLES_NAME', 'a b')).toEqual(['sds.default_all_bundles_name'])
})

test('no log goes into the configuration, or into a file that another setting names', async () => {
  const both = (audit: string, more: Record<string, string> = {}): Given => {
    const given = withVariable('ICP_AGENT_AUDIT__PATH', audit)
    return { ...given, env: { ...given.env, ...more } }
  }
  const inOther = async (name: string) =>
    keysOf(await refused(both('/srv/file', { [`ICP_AGENT_${name}`]: '/srv/file' })))
  for (const name of [
    'LOGGING__FILE_PATH',
    'AGENT__JOIN_TOKEN_PATH',
    'HEALTH__TLS_CERT_PATH',
    'SECURITY__CACHE_PATH',
  ]) {
    expect(await inOther(name)).toContain('audit.path')
  }
  expect(keysOf(await refused(both(`${process.cwd()}/c.yaml`)))).toEqual(['audit.path'])
  expect(await refusedKeys('ICP_AGENT_LOGGING__FILE_PATH', `${process.cwd()}/c.yaml`)).toEqual(['logging.file_path'])
  const apart = await load(both('/srv/audit', { ICP_AGENT_LOGGING__FILE_PATH: '/srv/log' }))
  expect(apart.config.audit.path).toBe('/srv/audit')
})
