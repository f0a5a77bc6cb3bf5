import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../support/until.js'
import type { Cluster } from './cluster.js'

export const NAMESPACE = 'shop'
const SOCKETS = '/run/spire/sockets'

/** One line of workload.ts. */
interface Line {
  readonly svids?: readonly string[]
  readonly code?: number
  readonly details?: string
}

/** A pod whose one container writes lines to a volume that this machine can read. */
export class PodWorkload {
  private constructor(
    readonly name: string,
    private readonly out: string,
  ) {}

  static async find(cluster: Cluster, name: string, namespace = NAMESPACE): Promise<PodWorkload> {
    await cluster.kubectlUntil(/^Running$/, ...get(namespace, name, '{.status.phase}'))
    const { metadata } = JSON.parse(await cluster.kubectl('-n', namespace, 'get', 'pod', name, '-o', 'json'))
    // A static pod's directory bears the hash of its manifest.
    const uid = metadata.annotations?.['kubernetes.io/config.hash'] ?? metadata.uid
    const volumes = join(cluster.node.dir, 'kubelet', 'pods', uid, 'volumes')
    return new PodWorkload(name, join(volumes, 'kubernetes.io~empty-dir', 'out', 'lines'))
  }

  /** What it wrote, by lines. */
  get texts(): readonly string[] {
    return existsSync(this.out) ? readFileSync(this.out, 'utf8').split('\n').slice(0, -1) : []
  }

  get lines(): readonly Line[] {
    return this.texts.map((text) => JSON.parse(text) as Line)
  }

  /** The identities that it got last. */
  get svids(): readonly string[] {
    return this.lines.findLast(({ svids }) => svids)?.svids ?? []
  }

  /** How its streams ended; empty while none did. */
  get ends(): readonly Line[] {
    return this.lines.filter(({ code }) => code !== undefined)
  }

  async gets(...svids: readonly string[]): Promise<void> {
    await until(() => `${this.svids}` === `${svids}`, { what: `${this.name} gets ${svids.join(' and ')}` })
  }
}

function get(namespace: string, name: string, path: string): readonly string[] {
  return ['-n', namespace, 'get', 'pod', name, '-o', `jsonpath=${path}`]
}

const HOST_PATH = { hostPath: { path: SOCKETS, type: 'Directory' } }
/** What Pod Security `restricted` wants of a container. */
const RESTRICTED = {
  ...{ allowPrivilegeEscalation: false, runAsNonRoot: true, runAsUser: 1000 },
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
}

export interface PodOptions {
  readonly namespace?: string
  readonly command?: readonly string[]
  /** Where the socket comes from; default: the directory of the host. */
  readonly volume?: object
  readonly restricted?: boolean
}

/** A pod that uses the socket as docs/install/kubernetes.md says. */
export function podOf(name: string, image: string, options: PodOptions = {}): object {
  const { namespace = NAMESPACE, command, volume = HOST_PATH, restricted = false } = options
  return {
    ...{ apiVersion: 'v1', kind: 'Pod' },
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          ...{ name: 'app', image, imagePullPolicy: 'Never', ...(command && { command }) },
          ...(restricted && { securityContext: RESTRICTED }),
          env: [{ name: 'SPIFFE_ENDPOINT_SOCKET', value: `unix://${SOCKETS}/agent.sock` }],
          volumeMounts: [
            { name: 'spire', mountPath: SOCKETS, readOnly: true },
            { name: 'out', mountPath: '/out' },
          ],
        },
      ],
      volumes: [
        { name: 'spire', ...volume },
        { name: 'out', emptyDir: {} },
      ],
    },
  }
}

/** What a container that is added to a running pod needs. */
export const SOCKET_OF_CONTAINER = {
  env: [{ name: 'SPIFFE_ENDPOINT_SOCKET', value: `unix://${SOCKETS}/agent.sock` }],
  volumeMounts: [{ name: 'spire', mountPath: SOCKETS, readOnly: true }],
}

/** A pod with an init container that runs a command, a sidecar that keeps a stream open, and a container that sleeps. */
export function crewedPod(name: string, image: string, command: readonly string[]): object {
  const container = (what: string, more: object) => ({ name: what, image, imagePullPolicy: 'Never', ...more })
  const lines = [...SOCKET_OF_CONTAINER.volumeMounts, { name: 'out', mountPath: '/out' }]
  const sidecar = { ...SOCKET_OF_CONTAINER, image: 'local/workload:1', restartPolicy: 'Always', volumeMounts: lines }
  return {
    ...{ apiVersion: 'v1', kind: 'Pod' },
    metadata: { name, namespace: NAMESPACE, labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 0,
      initContainers: [container('init', { ...SOCKET_OF_CONTAINER, command }), container('sidecar', sidecar)],
      containers: [container('app', { command: ['sleep', '100000'] })],
      volumes: [
        { name: 'spire', ...HOST_PATH },
        { name: 'out', emptyDir: {} },
      ],
    },
  }
}
