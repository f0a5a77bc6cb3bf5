import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createHttpClient } from '../../agent/platform/undici-http.js'
import { credentials, newCa } from '../integration/support/https-server.js'
import { freePort } from './free-port.js'
import { kubeBinaries } from './kube-binaries.js'
import type { PodObject } from './kubernetes-pods.js'
import { ownDirectory } from './own-directory.js'

const ADMIN = 'administrator-of-the-test'
const NAMESPACE = 'shop'
const READY_MS = 120_000

/** A real kube-apiserver with a real etcd, on free ports of this machine, with its own files; ended when disposed. */
export class KubeApiserver implements AsyncDisposable {
  readonly #children: ChildProcess[] = []
  readonly #http = createHttpClient({ tls: () => ({ ca: [this.caPem] }), roots: () => [] })

  private constructor(
    private readonly dir: Awaited<ReturnType<typeof ownDirectory>>,
    private readonly port: number,
    readonly caPem: string,
    private readonly startServer: () => ChildProcess,
  ) {}

  /** With a namespace `shop` and service accounts as manifests make them. `more`: arguments of kube-apiserver. */
  static async start(...more: readonly string[]): Promise<KubeApiserver> {
    const binaries = await kubeBinaries()
    const dir = await ownDirectory()
    const [port, client, peer] = [await freePort(), await freePort(), await freePort()]
    const file = (name: string, content: string) => {
      const path = join(dir.path, name)
      writeFileSync(path, content, { mode: 0o600 })
      return path
    }
    const ca = await newCa('cluster')
    const tls = await credentials(ca, { subject: 'kube-apiserver', names: [{ type: 'ip', value: '127.0.0.1' }] })
    const accounts = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const etcd = run(binaries.etcd, [
      `--data-dir=${join(dir.path, 'etcd')}`,
      `--listen-client-urls=http://127.0.0.1:${client}`,
      `--advertise-client-urls=http://127.0.0.1:${client}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      '--log-level=error',
      '--unsafe-no-fsync',
    ])
    const args = [
      `--etcd-servers=http://127.0.0.1:${client}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      `--tls-cert-file=${file('tls.crt', tls.certificate)}`,
      `--tls-private-key-file=${file('tls.key', tls.key)}`,
      `--cert-dir=${join(dir.path, 'certificates')}`,
      '--service-cluster-ip-range=10.96.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${file('accounts.pem', pem(accounts.publicKey, 'spki'))}`,
      `--service-account-signing-key-file=${file('accounts.key', pem(accounts.privateKey, 'pkcs8'))}`,
      `--token-auth-file=${file('tokens.csv', `${ADMIN},admin,1,"system:masters"\n`)}`,
      '--authorization-mode=RBAC',
      // As all clusters that run CSI drivers.
      '--allow-privileged=true',
      // Pods of this test have service accounts that nobody made, and nobody runs them.
      '--disable-admission-plugins=ServiceAccount',
      ...more,
    ]
    const api = new KubeApiserver(dir, port, ca.pem, () => run(binaries.apiserver, args))
    api.#children.push(etcd, api.startServer())
    await api.#ready()
    await api.#ask('POST', '/api/v1/namespaces', { metadata: { name: NAMESPACE } })
    return api
  }

  get address(): string {
    return `https://127.0.0.1:${this.port}`
  }

  /** A file with which kubectl and helm are the administrator, or whoever the token is of. */
  kubeconfig(name = 'admin', token = ADMIN): string {
    const named = (what: string, more: object) => [{ name: 'test', [what]: more }]
    const path = join(this.dir.path, `${name}.kubeconfig`)
    const text = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      contexts: named('context', { cluster: 'test', user: 'test' }),
      users: named('user', { token }),
      clusters: named('cluster', {
        server: this.address,
        'certificate-authority-data': Buffer.from(this.caPem).toString('base64'),
      }),
    })
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }

  /** A service account with these rights on pods, and a token of it. */
  async account(name: string, verbs: readonly string[]): Promise<string> {
    const rbac = '/apis/rbac.authorization.k8s.io/v1'
    const inNamespace = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`
    const role = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name }
    await this.#ask('POST', inNamespace, { metadata: { name } })
    await this.#ask('POST', `${rbac}/clusterroles`, {
      metadata: { name },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs }],
    })
    await this.#ask('POST', `${rbac}/clusterrolebindings`, {
      metadata: { name },
      roleRef: role,
      subjects: [{ kind: 'ServiceAccount', namespace: NAMESPACE, name }],
    })
    const answer = await this.#ask('POST', `${inNamespace}/${name}/token`, { spec: {} })
    return String((answer['status'] as { token?: unknown }).token)
  }

  /** Changes the rights of an account. */
  async allow(name: string, verbs: readonly string[]): Promise<void> {
    const path = `/apis/rbac.authorization.k8s.io/v1/clusterroles/${name}`
    const role = await this.#ask('GET', path)
    await this.#ask('PUT', path, { ...role, rules: [{ apiGroups: [''], resources: ['pods'], verbs }] })
  }

  /** Makes a pod and says, as its kubelet would, that its containers run. The server chooses the uid. */
  async create(pod: PodObject): Promise<string> {
    const { name, labels, annotations } = pod.metadata
    const path = `/api/v1/namespaces/${NAMESPACE}/pods`
    const made = await this.#ask('POST', path, { metadata: { name, labels, annotations }, spec: pod.spec })
    await this.#ask('PUT', `${path}/${name}/status`, { ...made, status: pod.status })
    return String((made['metadata'] as { uid?: unknown }).uid)
  }

  async label(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
    const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}`
    const pod = await this.#ask('GET', path)
    await this.#ask('PUT', path, { ...pod, metadata: { ...(pod['metadata'] as object), labels } })
  }

  async delete(name: string): Promise<void> {
    await this.#ask('DELETE', `/api/v1/namespaces/${NAMESPACE}/pods/${name}?gracePeriodSeconds=0`)
  }

  /** Ends the server with all its connections; the store goes on. */
  async stop(): Promise<void> {
    const server = this.#children.pop()
    if (server) await ended(server)
  }

  async startAgain(): Promise<void> {
    this.#children.push(this.startServer())
    await this.#ready()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]()
    for (const child of this.#children.reverse()) await ended(child)
    await this.dir[Symbol.asyncDispose]()
  }

  async #ready(): Promise<void> {
    const until = performance.now() + READY_MS
    for (;;) {
      try {
        await this.#ask('GET', '/readyz')
        return
      } catch (error) {
        if (performance.now() > until) throw error
        await sleep(250)
      }
    }
  }

  async #ask(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<Record<string, unknown>> {
    const { status, body: answer } = await this.#http.request({
      method,
      url: this.address + path,
      headers: { authorization: `Bearer ${ADMIN}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
      timeoutMs: 30_000,
      maxBytes: 16 * 1024 * 1024,
    })
    const text = answer.toString('utf8')
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text.slice(0, 500)}`)
    return text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {}
  }
}

function run(path: string, args: readonly string[]): ChildProcess {
  return spawn(path, args, { stdio: process.env['ICP_TEST_VERBOSE'] ? 'inherit' : 'ignore' })
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
}

function pem(
  key: { export(options: { type: 'spki' | 'pkcs8'; format: 'pem' }): string | Buffer },
  type: 'spki' | 'pkcs8',
) {
  return key.export({ type, format: 'pem' }).toString()
}
