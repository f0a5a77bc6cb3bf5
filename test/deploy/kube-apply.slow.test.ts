import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { freePort } from '../support/free-port.js'
import { helmBinary, kubectlBinary, type Ran, ran } from '../support/helm.js'
import { KubeApiserver } from '../support/kube-apiserver.js'
import { kubeUnavailable } from '../support/kube-binaries.js'
import { icpAgent } from '../support/terminal.js'

const CHART = 'helm/icp-agent'
const TENANT = '11111111-2222-4333-8444-555555555555'
/** Where the binaries must be built first. */
const BUILD_MS = 45 * 60_000
const MONITORING = ['PodMonitor', 'ServiceMonitor', 'PrometheusRule']
const unavailable = kubeUnavailable()
const EXAMPLES = 'deploy/kubernetes/examples'
const examples = (await readdir(EXAMPLES)).filter((name) => name.endsWith('.yaml'))
const scenarios = (await readdir(join(CHART, 'ci'))).filter((name) => name.endsWith('-values.yaml'))

interface Item {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly resourceVersion: string }
  // biome-ignore lint/suspicious/noExplicitAny: what the API server answers, looked at by tests only
  readonly spec?: any
}

/** The server checks each field (`fieldValidation=Strict`) of what it knows; of the monitoring kinds only that they are there. */
describe.skipIf(unavailable !== null)(
  `applied to a real kube-apiserver${unavailable ? ` (skipped: ${unavailable})` : ''}`,
  () => {
    let api: KubeApiserver
    let helm: string
    let kubectl: string
    let admin: string
    let dir: string

    beforeAll(async () => {
      helm = await helmBinary()
      kubectl = await kubectlBinary()
      dir = await mkdtemp(join(tmpdir(), 'icp-apply-'))
      api = await KubeApiserver.start(
        '--feature-gates=ClusterTrustBundle=true',
        '--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true',
      )
      admin = api.kubeconfig()
      await apply(MONITORING.map(definition).join('---\n'))
      await kube('wait', '--for=condition=established', 'crd', '--all', '--timeout=60s')
    }, BUILD_MS)
    afterAll(async () => {
      await api?.[Symbol.asyncDispose]()
      if (dir) await rm(dir, { recursive: true, force: true })
    })

    const as = (config: string, ...args: string[]) => ran(kubectl, ['--kubeconfig', config, ...args])
    const kube = async (...args: string[]) => worked(await as(admin, ...args))
    const read = async (...args: string[]) => JSON.parse(await kube('get', ...args, '-o', 'json'))
    const apply = async (text: string, ...args: string[]) => {
      const file = join(dir, 'manifests.yaml')
      await writeFile(file, text)
      return await kube('apply', '--server-side', '--validate=strict', '-f', file, ...args)
    }
    /** Each object of a release with its version, which changes with every write. */
    const versions = async (namespace: string) => {
      const kinds = 'daemonset,deployment,configmap,serviceaccount,service,networkpolicy,clusterrole,clusterrolebinding'
      const all = `${kinds},role,rolebinding,csidriver,podmonitor,servicemonitor,prometheusrule`
      const { items } = await read(
        all,
        '-n',
        namespace,
        '-l',
        'app in (icp-agent,icp-agent-csi,icp-agent-bundle-publisher)',
      )
      return (items as Item[])
        .map(({ kind, metadata }) => `${kind}/${metadata.name} ${metadata.resourceVersion}`)
        .sort()
    }
    const daemonSet = async (namespace: string): Promise<Item> =>
      (await read('daemonset', '-n', namespace, '-l', 'app=icp-agent')).items[0]
    /** A file with which kubectl is a service account, by a token as its pods get it. */
    const being = async (namespace: string, account: string) => {
      const token = (await kube('create', 'token', account, '-n', namespace)).trim()
      return api.kubeconfig(`${namespace}-${account}`, token)
    }
    const may = async (config: string, verb: string, what: string) =>
      (await as(config, 'auth', 'can-i', verb, ...what.split(' '), '-A')).stdout.trim() === 'yes'

    describe.each(scenarios)('the chart with %s', (scenario) => {
      const name = basename(scenario, '-values.yaml')
      const values = ['-f', join(CHART, 'ci', scenario), '-n', name]

      it('is taken by the server in every field, and applying it again changes nothing', async () => {
        await kube('create', 'namespace', name)
        const rendered = worked(await ran(helm, ['template', `${name}-icp-agent`, CHART, ...values]))
        await apply(rendered)
        const first = await versions(name)
        expect(first.some((line) => line.startsWith('DaemonSet/'))).toBe(true)
        expect(first).toHaveLength((rendered.match(/^kind: /gm) ?? []).length)
        await apply(rendered)
        expect(await versions(name)).toEqual(first)
        expect(await as(admin, 'diff', '--server-side', '-f', join(dir, 'manifests.yaml'))).toMatchObject({ code: 0 })
        await kube('delete', '-f', join(dir, 'manifests.yaml'))
        expect(await versions(name)).toEqual([])
      })

      it('is installed, upgraded and removed by helm', async () => {
        const config = ['--kubeconfig', admin]
        const release = `${name}-icp-agent`
        const notes = worked(await ran(helm, ['install', release, CHART, ...values, ...config]))
        expect(notes).toContain(`-n ${name} rollout status daemonset/${release}`)
        const first = await versions(name)
        worked(await ran(helm, ['upgrade', release, CHART, ...values, ...config]))
        expect(await versions(name)).toEqual(first)
        worked(await ran(helm, ['uninstall', release, '-n', name, ...config]))
        expect(await versions(name)).toEqual([])
      })
    })

    it('is installed by the commands of the documentation, join tokens and all', async () => {
      const page = await readFile('docs/install/kubernetes.md', 'utf8')
      const [, section = ''] = page.split(/^## (?:Install|Verify)$/m)
      const blocks = [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text = '']) => text)
      expect(blocks).toHaveLength(2)
      const script = blocks
        .join('')
        .replaceAll('YOUR-TENANT-UUID', TENANT)
        // Nobody runs pods here.
        .replace(/^.*rollout status.*$/m, 'kubectl -n authsec get secret join-tokens')
      const path = [dirname(helm), dirname(kubectl), process.env['PATH']].join(':')
      worked(await ran('env', [`PATH=${path}`, `KUBECONFIG=${admin}`, 'sh', '-ec', script]))
      const { volumes } = (await daemonSet('authsec')).spec.template.spec
      expect(volumes).toContainEqual({
        name: 'join-tokens',
        secret: { secretName: 'join-tokens', optional: true, defaultMode: 0o400 },
      })
      expect((await read('configmap', 'icp-agent', '-n', 'authsec')).data['config.yaml']).toContain(
        'join_token_path: /var/run/secrets/icp-agent-join-tokens/',
      )
      // Upgrade and remove, as that section has it.
      const [, after = ''] = page.split(/^## Upgrade and remove$/m)
      const commands = [...after.matchAll(/`(helm [^`]+)`/g)].map(([, text = '']) => text)
      expect(commands.map((text) => text.split(' ')[1])).toEqual(['upgrade', 'rollback', 'uninstall'])
      const [upgrade = '', rollback = '', uninstall = ''] = commands
      const run = async (text: string) =>
        worked(await ran('env', [`PATH=${path}`, `KUBECONFIG=${admin}`, 'sh', '-ec', text]))
      const configured = async () => (await read('configmap', 'icp-agent', '-n', 'authsec')).data['config.yaml']
      const before = await configured()
      await run(`${upgrade} --set agent.logLevel=debug`)
      expect(await configured()).toBe(before.replace('level: info', 'level: debug'))
      await run(rollback)
      expect(await configured()).toBe(before)
      await kube('create', 'secret', 'generic', 'mine', '-n', 'authsec')
      await run(uninstall)
      expect(await versions('authsec')).toEqual([])
      expect((await read('secret', 'mine', '-n', 'authsec')).metadata.name).toBe('mine')
    })

    describe('the plain manifests', () => {
      let account: string

      beforeAll(async () => {
        await apply('{apiVersion: v1, kind: Namespace, metadata: {name: authsec}}')
        const plain = await readFile('deploy/kubernetes/icp-agent.yaml', 'utf8')
        await apply(plain.replaceAll('YOUR-TENANT-UUID', TENANT))
        account = await being('authsec', 'icp-agent')
      })

      it('leave the agent what it needs and nothing else', async () => {
        const { spec } = await daemonSet('authsec')
        const { spec: pod } = spec.template
        expect(pod.containers[0].securityContext).toEqual({
          runAsUser: 0,
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'], add: ['SYS_PTRACE'] },
          seccompProfile: { type: 'RuntimeDefault' },
        })
        expect([pod.hostPID, pod.hostNetwork, pod.hostIPC]).toEqual([true, undefined, undefined])
      })

      it('let the agent read pods, and nothing that others may not', async () => {
        expect((await as(account, 'get', 'pods', '-A')).code).toBe(0)
        expect((await as(account, 'get', 'secrets', '-A')).stderr).toContain('Forbidden')
        for (const verb of ['get', 'list', 'watch']) expect(await may(account, verb, 'pods')).toBe(true)
        for (const verb of ['create', 'delete', 'patch', 'update']) expect(await may(account, verb, 'pods')).toBe(false)
        const others = ['secrets', 'configmaps', 'nodes', 'nodes --subresource=proxy', 'pods --subresource=log']
        for (const what of others) expect(await may(account, 'get', what), what).toBe(false)
        expect(await may(account, 'create', 'pods --subresource=exec')).toBe(false)
        await kube('create', 'serviceaccount', 'stranger', '-n', 'authsec')
        const stranger = await being('authsec', 'stranger')
        const rights = async (config: string) =>
          worked(await as(config, 'auth', 'can-i', '--list', '--no-headers'))
            .split('\n')
            .map((line) => line.replace(/\s+/g, ' ').trim())
        const before = await rights(stranger)
        expect((await rights(account)).filter((line) => !before.includes(line))).toEqual([
          'pods [] [] [get list watch]',
        ])
      })

      it('make pods that a privileged namespace takes, and a baseline one does not', async () => {
        const { spec } = await daemonSet('authsec')
        const { template } = spec
        const pod = {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { ...template.metadata, name: 'one' },
          spec: template.spec,
        }
        const file = join(dir, 'pod.json')
        await writeFile(file, JSON.stringify(pod))
        for (const level of ['privileged', 'baseline']) {
          await kube('label', 'namespace', 'authsec', '--overwrite', `pod-security.kubernetes.io/enforce=${level}`)
          const { code, stderr } = await as(admin, 'create', '-n', 'authsec', '--dry-run=server', '-f', file)
          expect([level, code === 0]).toEqual([level, level === 'privileged'])
          if (level === 'baseline') expect(stderr).toMatch(/violates PodSecurity.*hostPID=true/)
        }
      })
    })

    it('asking kubelets, the agent may get their pods and nothing of the API server', async () => {
      await kube('create', 'namespace', 'kubelets')
      const set = ['--set', `agent.tenantId=${TENANT}`, '--set', 'agent.podSource=kubelet', '--kube-version', '1.36.3']
      await apply(worked(await ran(helm, ['template', 'icp-agent-kubelets', CHART, '-n', 'kubelets', ...set])))
      const account = await being('kubelets', 'icp-agent-kubelets')
      expect(await may(account, 'get', 'nodes --subresource=pods')).toBe(true)
      for (const what of ['nodes --subresource=proxy', 'nodes', 'pods', 'secrets']) {
        expect(await may(account, 'get', what), what).toBe(false)
      }
      expect((await daemonSet('kubelets')).spec.template.spec.containers[0].env).toContainEqual({
        name: 'HOST_IP',
        valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.hostIP' } },
      })
    })

    it('the bundle publisher keeps the bundle with its own rights alone, and the next replica goes on', async () => {
      const [name, signer, bundle] = [
        'icp-agent-bundle-publisher',
        'example.org/workloads',
        'example.org:workloads:all',
      ]
      const values = [
        `agent.tenantId=${TENANT}`,
        'bundlePublisher.enabled=true,bundlePublisher.replicas=2,bundlePublisher.configMap.spiffeKey=bundle.json',
        `bundlePublisher.clusterTrustBundle.name=${bundle},bundlePublisher.clusterTrustBundle.signerName=${signer}`,
      ].flatMap((value) => ['--set', value])
      await kube('create', 'namespace', 'trust')
      await apply(worked(await ran(helm, ['template', 'icp-agent', CHART, '-n', 'trust', ...values])))
      const account = await being('trust', name)
      const mayIn = async (verb: string, what: string) =>
        (await as(account, 'auth', 'can-i', verb, what, '-n', 'trust')).stdout.trim() === 'yes'
      for (const what of ['configmaps/spiffe-bundle', `leases/${name}`, `clustertrustbundles/${bundle}`]) {
        expect([what, await mayIn('get', what), await mayIn('update', what), await mayIn('delete', what)]).toEqual([
          what,
          true,
          true,
          false,
        ])
      }
      for (const what of ['configmaps/icp-agent', 'secrets', 'pods', 'leases/other']) {
        expect([what, await mayIn('get', what), await mayIn('update', what)]).toEqual([what, false, false])
      }
      // Kubernetes lets everybody read those.
      expect(await mayIn('update', 'clustertrustbundles/other')).toBe(false)
      expect(await may(await being('trust', 'icp-agent'), 'update', 'configmaps')).toBe(false)

      await using own = await temporaryDirectory()
      await using server = await startServer(join(own.path, 'icp'), {
        workloadTrustDomain: 'acme.example',
        jwtKid: true,
      })
      const selectors = { 'unix:uid': String(process.getuid?.()) }
      await server.createEntry({ spiffeId: 'spiffe://acme.example/publisher', selectors })
      await using agent = await startAgent({ dir: own.path, server })
      await writeFile(join(own.path, 'token'), (await kube('create', 'token', name, '-n', 'trust')).trim())
      await writeFile(join(own.path, 'ca.crt'), api.caPem)
      const { items } = await read('deployment', '-n', 'trust')
      const container = (items as Item[])[0]?.spec.template.spec.containers[0]
      const start = async (pod: string) => {
        const [stop, port] = [new AbortController(), await freePort()]
        const args = (container.args as string[]).filter((arg) => !arg.startsWith('--health-port'))
        const files = [`--token-file=${join(own.path, 'token')}`, `--ca-file=${join(own.path, 'ca.crt')}`]
        const { hostname, port: apiPort } = new URL(api.address)
        const env = {
          POD_NAME: pod,
          POD_NAMESPACE: 'trust',
          KUBERNETES_SERVICE_HOST: hostname,
          KUBERNETES_SERVICE_PORT: apiPort,
          SPIFFE_ENDPOINT_SOCKET: agent.address,
        }
        const done = icpAgent([...args, ...files, `--health-port=${port}`], { env, signal: stop.signal })
        const end = async () => {
          stop.abort()
          return await done
        }
        const ready = async () => (await fetch(`http://127.0.0.1:${port}/ready`).catch(() => null))?.status
        return { end, ready }
      }
      const patient = { timeout: 90_000, interval: 500 }
      const published = async () => {
        const { code, stdout } = await as(admin, 'get', 'configmap', 'spiffe-bundle', '-n', 'trust', '-o', 'json')
        return code === 0 ? JSON.parse(stdout).data : null
      }
      const first = await start('one')
      await expect.poll(published, patient).toMatchObject({ 'bundle.pem': expect.stringContaining('BEGIN CERT') })
      const data = await published()
      expect(JSON.parse(data['bundle.json']).keys.map(({ use }: { use: string }) => use)).toContain('jwt-svid')
      await expect
        .poll(async () => (await as(admin, 'get', 'clustertrustbundle', bundle, '-o', 'json')).stdout, patient)
        .toContain(signer)
      expect((await read('clustertrustbundle', bundle)).spec).toEqual({
        signerName: signer,
        trustBundle: data['bundle.pem'],
      })
      await expect.poll(first.ready, patient).toBe(200)

      const second = await start('two')
      await expect.poll(second.ready, patient).toBe(200)
      const holder = async () => (await read('lease', name, '-n', 'trust')).spec.holderIdentity
      expect(await holder()).toMatch(/^one_/)
      const forged = '{"data":{"bundle.pem":"forged","other":"kept"}}'
      await kube('patch', 'configmap', 'spiffe-bundle', '-n', 'trust', '-p', forged)
      expect(await first.end()).toMatchObject({ code: 0 })
      await expect.poll(holder, patient).toMatch(/^two_/)
      await expect.poll(published, patient).toEqual({ ...data, other: 'kept' })
      expect(await second.end()).toMatchObject({ code: 0 })
      expect(await published()).toEqual({ ...data, other: 'kept' })
      expect(await holder()).toBe('')
    }, 300_000)

    it.each(examples)(
      'the example %s is taken in every field, in a namespace that takes restricted pods alone',
      async (name) => {
        const namespace = basename(name, '.yaml')
        await kube('create', 'namespace', namespace)
        await kube('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted')
        // Which drivers may be mounted inline there is said by the driver, as the chart's is.
        await apply(CSI_DRIVER)
        const ran = await kube(
          'apply',
          '--server-side',
          '--validate=strict',
          '-n',
          namespace,
          '-f',
          join(EXAMPLES, name),
        )
        expect(ran).toMatch(/serverside-applied/)
        expect(ran).not.toContain('PodSecurity')
      },
    )
  },
)

const CSI_DRIVER = `apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata:
  name: csi.spiffe.io
  labels: { security.kubernetes.io/csi-ephemeral-volume-profile: restricted }
spec: { attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: [Ephemeral] }
`

/** A kind of the Prometheus operator, without its schema. */
function definition(kind: string): string {
  const singular = kind.toLowerCase()
  return `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: ${singular}s.monitoring.coreos.com }
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: { kind: ${kind}, plural: ${singular}s, singular: ${singular} }
  versions:
    - name: v1
      served: true
      storage: true
      schema: { openAPIV3Schema: { type: object, x-kubernetes-preserve-unknown-fields: true } }
`
}

function worked({ code, stdout, stderr }: Ran): string {
  if (code !== 0) throw new Error(`ended with ${code}\n${stdout}${stderr}`)
  return stdout
}
