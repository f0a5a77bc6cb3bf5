import { generateKeyPairSync } from 'node:crypto'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { credentials, newCa } from '../integration/support/https-server.js'
import { kubectlBinary } from '../support/helm.js'
import { until } from '../support/until.js'
import { type NodeBinaries, nodeBinaries } from './binaries.js'
import type { Daemon, NodeHost } from './node-host.js'

/** The node's address, which is that of its bridge, and that of the service `kubernetes`. */
export const NODE_IP = '10.244.0.1'
const SERVICE_IP = '10.96.0.1'
export const NODE_NAME = 'node-1'
/** A busy machine boots a node and its programs slowly. */
const PATIENCE_S = 600
const USERS = {
  admin: 'system:masters',
  'system:kube-scheduler': '',
  [`system:node:${NODE_NAME}`]: 'system:nodes',
}

/** Kubernetes with one node: etcd, API server, controllers, scheduler, kube-proxy, containerd and kubelet. */
export class Cluster implements AsyncDisposable {
  readonly #daemons = new Map<string, Daemon>()
  #kubectl = ''

  private constructor(
    readonly node: NodeHost,
    private readonly binaries: NodeBinaries,
    private readonly startOne: (name: string) => Promise<Daemon>,
  ) {}

  static async start(make: () => Promise<NodeHost>): Promise<Cluster> {
    const binaries = await nodeBinaries()
    const node = await make()
    try {
      const args = await prepare(node, binaries)
      const cluster = new Cluster(node, binaries, (name) => {
        const [program = '', ...rest] = args[name] ?? []
        return node.start(name, program, rest, binaries.containerdFolder)
      })
      cluster.#kubectl = await kubectlBinary()
      await cluster.startPrograms()
      const kubelets = ['create', 'clusterrolebinding', 'kubelet-api', '--clusterrole=system:kubelet-api-admin']
      await cluster.kubectl(...kubelets, '--user=kube-apiserver')
      await until(async () => /True/.test(await cluster.nodeReady()), {
        what: 'the node is ready',
        seconds: PATIENCE_S,
      })
      return cluster
    } catch (error) {
      await node[Symbol.asyncDispose]()
      throw error
    }
  }

  /** All of them, on a machine that runs none. */
  async startPrograms(): Promise<void> {
    this.#daemons.clear()
    for (const name of ['etcd', 'kube-apiserver']) await this.restart(name)
    await this.answers()
    for (const name of ['kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'containerd']) {
      await this.restart(name)
    }
    // A kubelet that finds no runtime ends.
    await this.containerdAnswers()
    await this.restart('kubelet')
  }

  get kubeconfig(): string {
    return join(this.node.dir, 'admin.kubeconfig')
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.node.run(this.#kubectl, '--kubeconfig', this.kubeconfig, ...args)
  }

  /** Resolves with the output once it is like that; commands that fail are repeated. */
  async kubectlUntil(like: RegExp, ...args: readonly string[]): Promise<string> {
    let output = ''
    await until(
      async () => {
        output = await this.kubectl(...args).catch((error: Error) => error.message)
        return like.test(output)
      },
      { what: `kubectl ${args.join(' ')} gives ${like}`, seconds: PATIENCE_S },
    )
    return output
  }

  async apply(...objects: readonly object[]): Promise<void> {
    const path = join(this.node.dir, 'apply.json')
    writeFileSync(path, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
    await this.kubectl('apply', '-f', path)
  }

  /** Kills the program, where it runs. */
  async stop(name: string): Promise<void> {
    await this.#daemons.get(name)?.kill()
    this.#daemons.delete(name)
  }

  /** Kills the program, where it runs, and starts it again. */
  async restart(name: string): Promise<void> {
    await this.stop(name)
    this.#daemons.set(name, await this.startOne(name))
  }

  /** Brings an image of a local archive into containerd. */
  async import(archive: string): Promise<void> {
    await this.ctr('images', 'import', archive)
  }

  async answers(): Promise<void> {
    // What is not ready names what is: each of those is ok, too.
    await this.kubectlUntil(/^ok$/, 'get', '--raw', '/readyz')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]()
  }

  private async containerdAnswers(): Promise<void> {
    const answers = () =>
      this.ctr('version').then(
        () => true,
        () => false,
      )
    await until(answers, { what: 'containerd answers', seconds: PATIENCE_S })
  }

  private ctr(...args: readonly string[]): Promise<string> {
    return this.node.run(join(this.binaries.containerdFolder, 'ctr'), '-n', 'k8s.io', ...args)
  }

  private nodeReady(): Promise<string> {
    const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    return this.kubectl('get', 'node', NODE_NAME, '-o', path).catch(() => '')
  }
}

/** Writes what the programs read, and resolves with what starts each of them. */
async function prepare(node: NodeHost, binaries: NodeBinaries): Promise<Readonly<Record<string, readonly string[]>>> {
  const { dir } = node
  const file = (name: string, content: string | object) => {
    const path = join(dir, name)
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 })
    return path
  }
  const ca = await newCa('cluster')
  const addresses = [NODE_IP, SERVICE_IP, '127.0.0.1'].map((value) => ({ type: 'ip' as const, value }))
  const pair = async (subject: string) => {
    const { certificate, key } = await credentials(ca, { subject, names: addresses })
    return { certificate: file(`${subject}.crt`, certificate), key: file(`${subject}.key`, key) }
  }
  const [server, kubelet] = [await pair('kube-apiserver'), await pair('kubelet')]
  const caFile = file('ca.crt', ca.pem)
  const accounts = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const publicKey = file('accounts.pem', accounts.publicKey.export({ type: 'spki', format: 'pem' }).toString())
  const privateKey = file('accounts.key', accounts.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  const tokens = Object.entries(USERS).map(([user, group]) => `token-of-${user},${user},${user},"${group}"\n`)
  const kubeconfig = (user: keyof typeof USERS, name: string) =>
    file(`${name}.kubeconfig`, kubeconfigFor(`token-of-${user}`, ca.pem))
  const admin = kubeconfig('admin', 'admin')
  writeNetwork(dir)
  mkdirSync(join(dir, 'manifests'))
  const etcd = 'http://127.0.0.1:2379'
  return {
    etcd: [
      binaries.etcd,
      ...[
        `--data-dir=${join(node.stateDir, 'etcd')}`,
        `--listen-client-urls=${etcd}`,
        `--advertise-client-urls=${etcd}`,
      ],
      '--log-level=error',
    ],
    'kube-apiserver': [
      binaries.apiserver,
      ...[`--etcd-servers=${etcd}`, '--secure-port=443', `--advertise-address=${NODE_IP}`],
      ...[`--tls-cert-file=${server.certificate}`, `--tls-private-key-file=${server.key}`],
      ...[`--client-ca-file=${caFile}`, `--token-auth-file=${file('tokens.csv', tokens.join(''))}`],
      ...['--service-cluster-ip-range=10.96.0.0/24', '--service-account-issuer=https://kubernetes.default.svc'],
      ...[`--service-account-key-file=${publicKey}`, `--service-account-signing-key-file=${privateKey}`],
      ...['--authorization-mode=Node,RBAC', '--allow-privileged=true', `--cert-dir=${join(dir, 'certificates')}`],
      ...[`--kubelet-client-certificate=${server.certificate}`, `--kubelet-client-key=${server.key}`],
      ...[`--kubelet-certificate-authority=${caFile}`, '--kubelet-preferred-address-types=InternalIP'],
    ],
    'kube-controller-manager': [
      binaries.controllerManager,
      ...[`--kubeconfig=${admin}`, `--service-account-private-key-file=${privateKey}`, `--root-ca-file=${caFile}`],
      ...['--leader-elect=false', `--cert-dir=${join(dir, 'certificates')}`],
    ],
    'kube-scheduler': [
      binaries.scheduler,
      ...[`--kubeconfig=${kubeconfig('system:kube-scheduler', 'scheduler')}`, '--leader-elect=false'],
    ],
    'kube-proxy': [
      binaries.proxy,
      `--config=${file('kube-proxy.json', {
        kind: 'KubeProxyConfiguration',
        apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
        mode: 'iptables',
        clientConnection: { kubeconfig: admin },
        // Those are the machine's.
        conntrack: { maxPerCore: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
        clusterCIDR: '10.244.0.0/24',
      })}`,
      `--hostname-override=${NODE_NAME}`,
    ],
    containerd: [
      join(binaries.containerdFolder, 'containerd'),
      '--config',
      file('containerd.toml', containerdOf(node)),
    ],
    kubelet: [
      binaries.kubelet,
      `--config=${file('kubelet.json', kubeletConfig(node, caFile, kubelet))}`,
      `--kubeconfig=${kubeconfig(`system:node:${NODE_NAME}`, 'kubelet')}`,
      ...[`--hostname-override=${NODE_NAME}`, `--node-ip=${NODE_IP}`],
    ],
  }
}

function kubeconfigFor(token: string, caPem: string): object {
  const named = (what: string, more: object) => [{ name: 'test', [what]: more }]
  const cluster = {
    server: `https://${NODE_IP}:443`,
    'certificate-authority-data': Buffer.from(caPem).toString('base64'),
  }
  return {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'test' },
    contexts: named('context', { cluster: 'test', user: 'test' }),
    users: named('user', { token }),
    clusters: named('cluster', cluster),
  }
}

function writeNetwork(dir: string): void {
  for (const name of ['bin', 'net']) mkdirSync(join(dir, 'cni', name), { recursive: true })
  for (const name of ['node-net', 'loopback']) {
    cpSync(join(import.meta.dirname, 'cni-plugin.sh'), join(dir, 'cni', 'bin', name))
  }
  const network = { cniVersion: '1.0.0', name: 'node', plugins: [{ type: 'node-net' }] }
  writeFileSync(join(dir, 'cni', 'net', '10-node.conflist'), JSON.stringify(network))
}

/** `restrict_oom_score_adj`: machines of CI lack CAP_SYS_RESOURCE. */
function containerdOf({ dir, cgroupDriver }: NodeHost): string {
  return `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "local/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["${dir}/cni/bin"]
    conf_dir = "${dir}/cni/net"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = ${cgroupDriver === 'systemd'}
`
}

function kubeletConfig(
  { dir, cgroupDriver }: NodeHost,
  clientCAFile: string,
  tls: { certificate: string; key: string },
): object {
  return {
    ...{ kind: 'KubeletConfiguration', apiVersion: 'kubelet.config.k8s.io/v1beta1' },
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile } },
    authorization: { mode: 'Webhook' },
    ...{ tlsCertFile: tls.certificate, tlsPrivateKeyFile: tls.key },
    ...{ cgroupDriver, failCgroupV1: false, failSwapOn: false, oomScoreAdj: 0 },
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    staticPodPath: join(dir, 'manifests'),
    evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    ...{ imageGCHighThresholdPercent: 100, imageGCLowThresholdPercent: 99 },
    resolvConf: '',
  }
}
