import { chmod, chown, lchown, lstat, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { loadConfig } from '../../agent/config/load.js'
import { checkDirectory } from '../../agent/platform/directory.js'
import { Disk } from '../../agent/platform/disk.js'
import { valuesTable } from '../support/chart-docs.js'
import { helmBinary, ran } from '../support/helm.js'

const CHART = 'helm/icp-agent'
const TENANT = '11111111-2222-4333-8444-555555555555'
const UPDATE = process.env['ICP_UPDATE_DOCS'] !== undefined
const KUBERNETES_VERSIONS = ['1.27', '1.37']

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data?: Readonly<Record<string, string>>
  // biome-ignore lint/suspicious/noExplicitAny: a rendered manifest, looked at by tests only
  readonly spec?: any
}

interface Probe {
  readonly httpGet?: { readonly scheme?: string }
}

let helm: string
let dir: string
let validator: string

beforeAll(async () => {
  helm = await helmBinary()
  dir = await mkdtemp(join(tmpdir(), 'icp-helm-'))
  const venv = join(tmpdir(), `icp-agent-kubernetes-validate-${process.getuid?.() ?? 0}`)
  validator = join(venv, 'bin', 'kubernetes-validate')
  if ((await ran(validator, ['--version'])).code !== 0) {
    expect(await ran('python3', ['-m', 'venv', venv])).toMatchObject({ code: 0 })
    const installed = await ran(join(venv, 'bin', 'pip'), ['install', '-q', 'kubernetes-validate==1.37.0'])
    expect(installed).toMatchObject({ code: 0 })
  }
}, 180_000)

afterAll(() => rm(dir, { recursive: true, force: true }))

async function render(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ran(helm, ['template', 'test', CHART, '-n', 'authsec', ...args])
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return stdout
}

function manifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text).flatMap((document) => (document.toJS() as Manifest | null) ?? [])
}

function one(text: string, kind: string): Manifest {
  const found = manifests(text).filter((manifest) => manifest.kind === kind)
  expect(found).toHaveLength(1)
  return found[0] as Manifest
}

/** What the agent makes of its ConfigMap on a node. */
async function configOf({ data }: Manifest, hostIp = '10.0.0.7') {
  const path = join(dir, 'config.yaml')
  await writeFile(path, data?.['config.yaml'] ?? '')
  const env = { NODE_NAME: 'worker-1', HOST_IP: hostIp }
  const where = { path, env, hostname: 'pod', insideContainer: true, files: new Disk() }
  return (await loadConfig(where)).config
}

const scenarios = (await readdir(join(CHART, 'ci'))).filter((name) => name.endsWith('-values.yaml'))

describe.each(scenarios)('the chart with %s', (scenario) => {
  const values = join(CHART, 'ci', scenario)

  it('passes helm lint', async () => {
    expect(await ran(helm, ['lint', '--strict', CHART, '-f', values])).toMatchObject({ code: 0 })
  })

  it('renders what is expected', async () => {
    const rendered = await render('-f', values)
    const expected = join(CHART, 'ci', 'expected', `${basename(scenario, '-values.yaml')}.yaml`)
    if (UPDATE) await writeFile(expected, rendered)
    expect(rendered).toBe(await readFile(expected, 'utf8'))
  })

  it.each(KUBERNETES_VERSIONS)('fits the schemas of Kubernetes %s', async (version) => {
    const file = join(dir, `${scenario}-${version}.yaml`)
    await writeFile(file, await render('-f', values))
    const { code, stdout, stderr } = await ran(validator, ['--strict', '--no-warn', '-k', version, file])
    expect(`${stdout}${stderr}`).not.toContain('ERROR')
    expect(code).toBe(0)
    expect(stdout + stderr).toContain('daemonset/test-icp-agent')
  })

  it('gives the agent a configuration that it accepts', async () => {
    const config = await configOf(one(await render('-f', values, '-s', 'templates/configmap.yaml'), 'ConfigMap'))
    expect(config.agent).toMatchObject({ tenantId: TENANT, nodeId: 'worker-1' })
    expect(config.attestation.type).toBe('kubernetes')
  })
})

describe('the chart', () => {
  const tenant = ['--set', `agent.tenantId=${TENANT}`]

  it.each([
    ['', 'agent.tenantId is missing'],
    ['your-tenant-id-here', 'is the placeholder'],
    ['477e9f97-d8a9-442a-8d92-f771393fab66', 'is the placeholder'],
    ['not-a-uuid', 'is not a UUID'],
  ])('refuses the tenant id %j with a sentence', async (id, sentence) => {
    const { code, stderr } = await ran(helm, ['template', 'test', CHART, '--set', `agent.tenantId=${id}`])
    expect(code).not.toBe(0)
    expect(stderr).toContain(sentence)
  })

  it('refuses a value that it does not know', async () => {
    const { code, stderr } = await ran(helm, ['template', 'test', CHART, ...tenant, '--set', 'agent.tenantID=x'])
    expect(code).not.toBe(0)
    expect(stderr).toContain('tenantID')
  })

  it('takes everything from the container but what the agent needs', async () => {
    const { spec } = one(await render(...tenant), 'DaemonSet')
    const [container] = spec.template.spec.containers
    expect(container.securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['SYS_PTRACE'] },
      seccompProfile: { type: 'RuntimeDefault' },
    })
    expect(spec.template.spec.hostPID).toBe(true)
    expect(spec.template.spec.hostNetwork).toBeUndefined()
  })

  it('makes a CSI driver only where it is told to, with images that somebody named', async () => {
    expect(manifests(await render(...tenant)).filter(({ kind }) => kind === 'CSIDriver')).toEqual([])
    const create = [...tenant, '--set', 'csiDriver.create=true']
    const { code, stderr } = await ran(helm, ['template', 'test', CHART, ...create])
    expect([code, stderr]).toEqual([1, expect.stringContaining('csiDriver.image is missing')])
    const images = ['--set', 'csiDriver.image=driver:1', '--set', 'csiDriver.registrarImage=registrar:1']
    const socket = ['--set', 'agent.socketPath=/run/icp/agent.sock']
    const made = manifests(await render(...create, ...images, ...socket))
    expect(made.find(({ kind }) => kind === 'CSIDriver')?.metadata.name).toBe('csi.spiffe.io')
    const sets = made.filter(({ kind }) => kind === 'DaemonSet')
    const driver = sets.find(({ metadata }) => metadata.name === 'test-icp-agent-csi')?.spec
    expect(driver.template.spec.containers[0].args).toContain('/run/icp')
    // Neither takes the other's pods for its own.
    expect(new Set(sets.map(({ spec }) => spec.selector.matchLabels.app)).size).toBe(2)
    expect(new Set(sets.map(({ spec }) => spec.selector.matchLabels['app.kubernetes.io/name'])).size).toBe(2)
  })

  it('publishes the bundle only where it is told to, by a Deployment with an account of its own', async () => {
    const of = (text: string) => manifests(text).filter(({ metadata }) => metadata.name.endsWith('-bundle-publisher'))
    expect(of(await render(...tenant))).toEqual([])
    const on = [...tenant, '--set', 'bundlePublisher.enabled=true']
    const made = of(await render(...on))
    expect(made.map(({ kind }) => kind).sort()).toEqual(['Deployment', 'Role', 'RoleBinding', 'ServiceAccount'])
    const pod = made.find(({ kind }) => kind === 'Deployment')?.spec.template.spec
    expect(pod).toMatchObject({ serviceAccountName: 'test-icp-agent-bundle-publisher' })
    expect(pod.hostPID).toBeUndefined()
    expect(pod.volumes).toEqual([{ name: 'spire', hostPath: { path: '/run/spire/sockets', type: 'Directory' } }])
    const refused = async (...set: string[]) => {
      const args = set.flatMap((value) => ['--set', `bundlePublisher.${value}`])
      return (await ran(helm, ['template', 'test', CHART, ...on, ...args])).stderr
    }
    expect(await refused('configMap.name=')).toContain('name where the bundle goes')
    expect(await refused('configMap.name=test-icp-agent')).toContain('is a ConfigMap of this chart')
    expect(
      await refused('clusterTrustBundle.name=all', 'clusterTrustBundle.signerName=example.org/workloads'),
    ).toContain('must begin with "example.org:workloads:"')
  })

  const containerOf = async (...values: string[]) => {
    const text = await render(...tenant, ...values.flatMap((value) => ['--set', value]))
    const { containers, volumes } = one(text, 'DaemonSet').spec.template.spec
    return { text, container: containers[0], volumes, config: await configOf(one(text, 'ConfigMap')) }
  }

  it('mounts the directories of the host that an audit log and bundles want, and no other', async () => {
    const mounts = (container: {
      readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
    }) => container.volumeMounts.flatMap(({ name, mountPath }) => (/^(audit|bundles)$/.test(name) ? [mountPath] : []))
    const own = await containerOf('audit.path=/var/log/icp/audit.jsonl', 'outputs.bundleDir=/var/lib/bundles')
    expect(mounts(own.container)).toEqual(['/var/log/icp', '/var/lib/bundles'])
    expect(own.volumes).toContainEqual({ name: 'audit', hostPath: { path: '/var/log/icp', type: 'DirectoryOrCreate' } })
    expect([own.config.audit.path, own.config.outputs.bundleDir]).toEqual([
      '/var/log/icp/audit.jsonl',
      '/var/lib/bundles',
    ])
    for (const values of [['audit.path=stdout'], ['audit.path=/var/lib/icp-agent/audit.jsonl'], []]) {
      expect(mounts((await containerOf(...values)).container)).toEqual([])
    }
    expect(mounts((await containerOf('audit.path=/srv/a/x', 'outputs.bundleDir=/srv/a')).container)).toEqual(['/srv/a'])
    for (const path of ['/run/spire/sockets/audit.jsonl', '/dev/log', '/usr/audit.jsonl']) {
      const { code, stderr } = await ran(helm, ['template', 'test', CHART, ...tenant, '--set', `audit.path=${path}`])
      expect([path, code, stderr]).toEqual([path, 1, expect.stringMatching(/directory of the (socket|host)/)])
    }
  })

  it('gives SDS the names that Envoy asks for', async () => {
    expect((await containerOf()).config.sds).toMatchObject({ enabled: true, names: { svid: 'default' } })
    const { config } = await containerOf('sds.enabled=false', 'sds.defaultBundleName=CA')
    expect(config.sds).toMatchObject({ enabled: false, names: { bundle: 'CA', allBundles: 'ALL' } })
  })

  describe('monitors', () => {
    const on = ['monitoring.podMonitor.enabled=true', 'monitoring.serviceMonitor.enabled=true']
    const endpoints = (text: string) => [
      one(text, 'PodMonitor').spec.podMetricsEndpoints[0],
      one(text, 'ServiceMonitor').spec.endpoints[0],
    ]
    const plain = { port: 'health', path: '/metrics', interval: '30s' }
    const schemes = ({ readinessProbe, livenessProbe }: { readinessProbe: Probe; livenessProbe: Probe }) => [
      readinessProbe.httpGet?.scheme,
      livenessProbe.httpGet?.scheme,
    ]

    it.each([
      [[], plain],
      [['healthProbe.tls=svid'], { ...plain, scheme: 'https', tlsConfig: { insecureSkipVerify: true } }],
      [['agent.extraConfig.health.tls=svid'], { ...plain, scheme: 'https', tlsConfig: { insecureSkipVerify: true } }],
      [['healthProbe.tls=files', 'healthProbe.tlsSecret=tls'], { ...plain, scheme: 'https' }],
      [
        ['healthProbe.tls=files', 'healthProbe.tlsSecret=tls', 'monitoring.tlsConfig.serverName=agent'],
        { ...plain, scheme: 'https', tlsConfig: { serverName: 'agent' } },
      ],
      [
        ['metrics.bearerTokenSecret.name=token'],
        { ...plain, authorization: { credentials: { name: 'token', key: 'token' } } },
      ],
    ])('and probes of the port ask as the agent answers with %j', async (values, expected) => {
      // Without a Unix socket, liveness asks the port.
      const socket = ['agent.dataDir=/run/icp', 'agent.socketPath=/run/icp/agent.sock']
      const { text, container, volumes, config } = await containerOf(...on, ...socket, ...values)
      expect(endpoints(text)).toEqual([expected, expected])
      const scheme = 'scheme' in expected ? 'HTTPS' : undefined
      expect(schemes(container)).toEqual([scheme, scheme])
      const mounted = (name: string) => volumes.some((volume: { readonly name: string }) => volume.name === name)
      expect(mounted('health-tls')).toBe(config.health.tls === 'files')
      expect(mounted('metrics-token')).toBe('authorization' in expected)
      expect(config.metrics.bearerTokenPath !== null).toBe('authorization' in expected)
    })

    it('that would be refused are refused, and so is TLS without a certificate', async () => {
      const refused = async (...values: string[]) =>
        (await ran(helm, ['template', 'test', CHART, ...tenant, ...values.flatMap((value) => ['--set', value])])).stderr
      expect(await refused(...on, 'agent.extraConfig.metrics.bearer_token_path=/a')).toContain(
        'metrics.bearerTokenSecret',
      )
      expect(await refused('healthProbe.tls=files')).toContain('healthProbe.tlsSecret is missing')
    })
  })

  it('names its container for kubectl, and gives a start its own probe', async () => {
    const { spec } = one(await render(...tenant), 'DaemonSet')
    const { metadata, spec: pod } = spec.template
    expect(metadata.annotations['kubectl.kubernetes.io/default-container']).toBe(pod.containers[0].name)
    const { startupProbe, livenessProbe } = pod.containers[0]
    expect(startupProbe.exec).toEqual(livenessProbe.exec)
    expect(startupProbe.failureThreshold * startupProbe.periodSeconds).toBe(120)
    // An agent that hangs does not stop by itself, and its workloads wait.
    expect([startupProbe.terminationGracePeriodSeconds, livenessProbe.terminationGracePeriodSeconds]).toEqual([5, 5])
  })

  const livenessOf = async (...values: string[]) => {
    const { spec } = one(await render(...tenant, ...values.flatMap((value) => ['--set', value])), 'DaemonSet')
    return spec.template.spec.containers[0].livenessProbe
  }
  const own = 'healthProbe.livenessProbe'

  it('asks for liveness over the Unix socket in the data directory', async () => {
    const { exec, httpGet } = await livenessOf('agent.dataDir=/srv/icp/')
    const socket = '/srv/icp/health.sock'
    expect(httpGet).toBeUndefined()
    expect(exec.command.join(' ')).toBe(`curl -fsS --max-time 4 --unix-socket ${socket} http://localhost/healthz`)
  })

  it.each([
    ['httpGet', [`${own}.httpGet.path=/live`, `${own}.httpGet.port=8080`]],
    ['exec', [`${own}.exec.command={true}`]],
    ['tcpSocket', [`${own}.tcpSocket.port=8080`]],
  ])('leaves a liveness probe by %s as it is given', async (kind, values) => {
    const probe = await livenessOf(...values)
    expect(['exec', 'httpGet', 'tcpSocket'].filter((name) => name in probe)).toEqual([kind])
    expect(JSON.stringify(probe)).not.toContain('health.sock')
  })

  it('asks the port where workloads mount the data directory, for there the agent serves no socket', async () => {
    const { exec, httpGet } = await livenessOf('agent.dataDir=/run/icp', 'agent.socketPath=/run/icp/agent.sock')
    expect([exec, httpGet.path]).toEqual([undefined, '/healthz'])
  })

  it('changes no owner on the host unless it is told to', async () => {
    expect(one(await render(...tenant), 'DaemonSet').spec.template.spec.initContainers).toBeUndefined()
  })

  it('takes over the directory of the socket with CHOWN alone, from the image of the agent', async () => {
    const { spec } = one(await render(...tenant, '--set', 'agent.takeOverSocketDirectory=true'), 'DaemonSet')
    const [container, ...more] = spec.template.spec.initContainers
    expect(more).toEqual([])
    expect(container).toMatchObject({
      image: spec.template.spec.containers[0].image,
      securityContext: {
        runAsUser: 0,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'], add: ['CHOWN'] },
      },
      volumeMounts: [{ name: 'sockets', mountPath: '/run/spire/sockets' }],
    })
  })

  it('runs what takes over the directory with the SELinux label of the agent', async () => {
    const set = ['--set', 'agent.takeOverSocketDirectory=true,securityContext.seLinuxOptions.type=spc_t']
    const { initContainers, containers } = one(await render(...tenant, ...set), 'DaemonSet').spec.template.spec
    expect(containers[0].securityContext.seLinuxOptions).toEqual({ type: 'spc_t' })
    expect(initContainers[0].securityContext.seLinuxOptions).toEqual({ type: 'spc_t' })
  })

  describe.skipIf(process.getuid?.() !== 0)('what the older chart left', () => {
    const rootWith = (capability: string) => [
      '--bounding-set',
      `-all,+${capability}`,
      '--inh-caps',
      '-all',
      '--no-new-privs',
    ]
    const connecting = (path: string) => {
      const program = `require('node:net').connect(${JSON.stringify(path)}).once('error', ({ code }) => console.log(code))`
      return ran('setpriv', [...rootWith('sys_ptrace'), process.execPath, '-e', program])
    }

    it.each([0o755, 0o700])(
      'is taken over: a directory of mode %o, and the socket of an agent that was killed',
      async (mode) => {
        const left = await mkdtemp(join(dir, 'sockets-'))
        const socket = join(left, 'agent.sock')
        const bound = `import os, socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(socket)})`
        expect(await ran('python3', ['-c', bound])).toMatchObject({ code: 0 })
        await symlink('/etc/hostname', join(left, 'other'))
        await chmod(socket, 0o755)
        await chmod(left, mode)
        for (const path of [left, socket]) await chown(path, 1000, 1000)
        await lchown(join(left, 'other'), 1000, 1000)
        const agent = { uid: 0, gid: 0 }
        expect(checkDirectory(left, agent)).toMatchObject({ state: 'unsafe', at: left })
        expect((await connecting(socket)).stdout).toBe('EACCES\n')

        const set = ['--set', `agent.takeOverSocketDirectory=true,agent.socketPath=${socket}`]
        const { command } = one(await render(...tenant, ...set), 'DaemonSet').spec.template.spec.initContainers[0]
        const takeOver = () => ran('setpriv', [...rootWith('chown'), ...command])
        expect(await takeOver()).toMatchObject({ code: 0, stderr: '' })
        expect(checkDirectory(left, agent)).toMatchObject({ state: 'safe' })
        // A socket that nobody listens on is replaced by the agent.
        expect((await connecting(socket)).stdout).toBe('ECONNREFUSED\n')
        expect((await lstat(join(left, 'other'))).uid).toBe(1000)

        await rm(socket)
        expect(await takeOver()).toMatchObject({ code: 0, stderr: '' })
      },
    )
  })

  it.each(['docker-repo-public.example.org/spire-agent', 'spire-agent'])(
    'refuses the image %s of the older agent with a sentence',
    async (repository) => {
      const set = ['--set', `image.repository=${repository}`]
      const { code, stderr } = await ran(helm, ['template', 'test', CHART, ...tenant, ...set])
      expect(code).not.toBe(0)
      expect(stderr).toContain('leave `image` out')
    },
  )

  it('may read pods and nothing else', async () => {
    const rules = parseAllDocuments(await render(...tenant, '-s', 'templates/rbac.yaml'))
      .map((document) => document.toJS() as { kind: string; rules?: unknown })
      .find(({ kind }) => kind === 'ClusterRole')?.rules
    expect(rules).toEqual([{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] }])
  })

  it.each([
    ['1.32.0', [], 'nodes/proxy'],
    ['1.33.0', [], 'nodes/pods'],
    ['1.36.0', ['--set', 'kubelet.right=nodes/proxy'], 'nodes/proxy'],
  ])(
    'may, on Kubernetes %s with %j, get %s of kubelets instead, where they are asked',
    async (version, more, right) => {
      const args = [...tenant, '--set', 'agent.podSource=kubelet', '--kube-version', version, ...more]
      const role = manifests(await render(...args, '-s', 'templates/rbac.yaml'))[0]
      expect(role).toMatchObject({
        kind: 'ClusterRole',
        rules: [{ apiGroups: [''], resources: [right], verbs: ['get'] }],
      })
    },
  )

  it.each([
    [[], 'https://10.0.0.7:10250', '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt'],
    [
      [`kubelet.address=https://[\${HOST_IP}]:10250`, 'kubelet.ca=PEM'],
      'https://[fd00::7]:10250',
      '/etc/icp-agent/kubelet-ca.pem',
    ],
    [
      [`kubelet.address=https://\${NODE_NAME}:10250`, 'kubelet.caHostPath=/a.crt'],
      'https://worker-1:10250',
      '/var/run/secrets/icp-agent-kubelet/ca.pem',
    ],
  ])('asks with %j the kubelet at %s, whose authority is in %s', async (set, address, authority) => {
    const text = await render(
      ...tenant,
      '--set',
      'agent.podSource=kubelet',
      ...set.flatMap((value) => ['--set', value]),
    )
    const config = await configOf(one(text, 'ConfigMap'), address.includes('fd00') ? 'fd00::7' : '10.0.0.7')
    expect(config.attestation.kubernetes).toMatchObject({
      source: 'kubelet',
      kubeletAddress: address,
      kubeletCaPath: authority,
    })
    const env = one(text, 'DaemonSet').spec.template.spec.containers[0].env
    expect(env).toContainEqual({ name: 'HOST_IP', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } })
  })

  it('refuses two authorities of the kubelet', async () => {
    const two = ['--set', 'agent.podSource=kubelet,kubelet.ca=PEM,kubelet.caHostPath=/a.crt']
    expect((await ran(helm, ['template', 'test', CHART, ...tenant, ...two])).stderr).toContain('one of them')
  })

  it('refuses a rollout with two agents on a node, and says why', async () => {
    const surge = (value: string) => ['--set', `updateStrategy.rollingUpdate.maxSurge=${value}`]
    for (const value of ['1', '25%']) {
      const args = ['template', 'test', CHART, ...tenant, ...surge(value)]
      expect((await ran(helm, args)).stderr).toContain('maxSurge')
      expect((await ran(helm, [...args, '--skip-schema-validation'])).stderr).toContain('waits for the lock')
    }
    for (const value of ['0', '0%', 'null'])
      expect(await render(...tenant, ...surge(value))).toContain('maxUnavailable: 1')
  })

  it('lets the agent out to the kubelet where it asks it, and only there', async () => {
    const ports = async (...args: string[]) => {
      const text = await render(...tenant, '--set', 'networkPolicy.enabled=true', ...args)
      return one(text, 'NetworkPolicy').spec.egress[1].ports.map(({ port }: { port: number }) => port)
    }
    expect(await ports()).toEqual([443, 6443])
    expect(await ports('--set', 'agent.podSource=kubelet')).toEqual([443, 6443, 10250])
  })

  it('projects the evidence of the node as a token of its own, without an audience', async () => {
    const { spec } = one(await render(...tenant), 'DaemonSet')
    const volume = spec.template.spec.volumes.find((candidate: { name: string }) => candidate.name === 'node-evidence')
    expect(volume.projected.sources).toEqual([{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }])
    expect(spec.template.spec.automountServiceAccountToken).toBe(true)
  })

  it('replaces the pods when the configuration changes', async () => {
    const checksum = async (...args: string[]) =>
      one(await render(...tenant, ...args), 'DaemonSet').spec.template.metadata.annotations['checksum/config']
    expect(await checksum('--set', 'agent.logLevel=debug')).not.toBe(await checksum())
    expect(await checksum()).toBe(await checksum())
  })

  it('shows metrics that exist', async () => {
    const { METRICS } = await import('../../agent/observability/metrics.js')
    const names = new Set(Object.keys(METRICS))
    const rules = await readFile(join(CHART, 'templates', 'monitoring.yaml'), 'utf8')
    const dashboard = await readFile(join(CHART, 'files', 'dashboard.json'), 'utf8')
    const used = `${rules}${dashboard}`.match(/icp_agent_[a-z_]+/g) ?? []
    const unknown = used.filter((name) => !names.has(name) && !names.has(name.replace(/_bucket$/, '')))
    expect(used.length).toBeGreaterThan(10)
    expect(unknown).toEqual([])
  })

  it('has its values in the README', async () => {
    const readme = join(CHART, 'README.md')
    const table = valuesTable(await readFile(join(CHART, 'values.yaml'), 'utf8'))
    const marked = /(<!-- values -->\n)[\s\S]*(\n<!-- \/values -->)/
    const text = await readFile(readme, 'utf8')
    if (UPDATE)
      await writeFile(
        readme,
        text.replace(marked, (_all, begin, end) => `${begin}${table}${end}`),
      )
    expect(await readFile(readme, 'utf8')).toContain(table)
  })

  it('is what the plain manifests are made of', async () => {
    const rendered = await ran(helm, ['template', 'icp-agent', CHART, '-n', 'authsec', ...tenant])
    const header = `# Made from the Helm chart. Put your tenant (or workspace) id in place of YOUR-TENANT-UUID, then:
#   kubectl create namespace authsec
#   kubectl apply -f icp-agent.yaml
`
    const plain =
      header + rendered.stdout.replaceAll(TENANT, 'YOUR-TENANT-UUID').replaceAll(/^.*managed-by: Helm\n/gm, '')
    const path = 'deploy/kubernetes/icp-agent.yaml'
    if (UPDATE) await writeFile(path, plain)
    expect(await readFile(path, 'utf8')).toBe(plain)
  })
})
