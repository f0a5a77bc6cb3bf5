import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from './cluster.js'

const MANIFEST = 'deploy/kubernetes/trial-icp-server.yaml'
const NAME = 'icp-server.icp-trial.svc'
/** The node has no DNS: the Service gets this address, and kube-proxy leads from it to the pod. */
const ADDRESS = '10.96.0.80'
const SERVER = ['-n', 'icp-trial', 'exec', 'deployment/icp-server', '--']

/** The ICP server of the trial manifest, as docs/install/kubernetes.md ("Without an account") has it. */
export class TrialServer {
  readonly address = `https://${ADDRESS}:8443/spiresvc`

  private constructor(
    private readonly cluster: Cluster,
    readonly tenantId: string,
    private readonly caPath: string,
  ) {}

  static async start(cluster: Cluster): Promise<TrialServer> {
    const path = join(cluster.node.dir, 'trial.yaml')
    const text = readFileSync(MANIFEST, 'utf8')
      .replaceAll(NAME, ADDRESS)
      .replaceAll('authsec/icp-agent', 'local/icp-agent')
    writeFileSync(path, text.replace('  selector:\n', `  clusterIP: ${ADDRESS}\n  selector:\n`))
    await cluster.kubectl('apply', '-f', path)
    await cluster.kubectl('-n', 'icp-trial', 'rollout', 'status', 'deployment/icp-server', '--timeout=180s')
    const caPath = join(cluster.node.dir, 'trial-ca.pem')
    writeFileSync(caPath, await cluster.kubectl(...SERVER, 'cat', '/tmp/icp/ca.pem'))
    const log = await cluster.kubectl('-n', 'icp-trial', 'logs', 'deployment/icp-server')
    const tenantId = /"tenant_id":"([^"]*)"/.exec(log)?.[1] ?? ''
    return new TrialServer(cluster, tenantId, caPath)
  }

  /** The page's command, with this server and this node's image in it. */
  put(command: string): string {
    const values = { 'REGISTRY/': 'local/', $TENANT: this.tenantId, [NAME]: ADDRESS, 'trial-ca.pem': this.caPath }
    return Object.entries(values).reduce((text, [name, value]) => text.replaceAll(name, value), command)
  }

  async register(name: string, namespace: string): Promise<void> {
    const selectors = [`k8s:ns=${namespace}`, `k8s:pod-label:app=${name}`]
    const create = ['icp-agent', 'dev-icp', 'entry', 'create', '--data', '/tmp/icp', `/${name}`]
    await this.cluster.kubectl(...SERVER, ...create, ...selectors)
  }

  log(): Promise<string> {
    return this.cluster.kubectl('-n', 'icp-trial', 'logs', 'deployment/icp-server')
  }
}
