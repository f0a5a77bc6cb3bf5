import { KubernetesApi, type OpenHttp } from '../../attestors/kubernetes/api.js'
import { KubernetesObjects } from '../../attestors/kubernetes/objects.js'
import { AgentError, messageOf } from '../errors.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import type { Recurring } from '../observability/once.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import type { Random } from '../ports/random.js'
import { BundlePublisher } from '../publishing/bundle-publisher.js'
import { Lease } from '../publishing/lease.js'
import { ClusterTrustBundleTarget, ConfigMapTarget, type PublishTarget } from '../publishing/targets.js'
import type { PublishedBundles } from '../publishing/texts.js'
import { misused, quoted } from './arguments.js'

/** The directory of the service account's files in every pod. */
export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
const MAX_NAMESPACE_BYTES = 1024

export interface PublicationOptions {
  readonly 'config-map'?: string
  readonly 'pem-key'?: string
  readonly 'spiffe-key'?: string
  readonly federated?: readonly string[]
  readonly 'cluster-trust-bundle'?: string
  readonly 'signer-name'?: string
  readonly 'trust-domain'?: string
  readonly namespace?: string
  readonly lease?: string
}

/** The bundles to publish, and their targets. */
export interface Publication extends Omit<PublishedBundles, 'trustDomain'> {
  /** Null: the trust domain of the first identity. */
  readonly trustDomain: string | null
  readonly namespace: string
  readonly lease: string
  readonly configMap: string | null
  readonly clusterTrustBundle: { readonly name: string; readonly signerName: string } | null
}

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const KEY = /^(?!\.\.?$)[-._a-zA-Z0-9]{1,253}$/
const SIGNER = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/

/** Throws `command.misused` for options that Kubernetes would refuse, or that contradict each other. */
export async function publicationOf(
  options: PublicationOptions,
  env: Readonly<Record<string, string | undefined>>,
  files: Pick<Files, 'read'>,
): Promise<Publication> {
  const configMap = options['config-map'] ?? null
  const clusterTrustBundle = bundleObject(options)
  if (configMap === null && clusterTrustBundle === null) {
    throw misused('name where the bundle goes: --config-map, --cluster-trust-bundle, or both')
  }
  const pemKey = matching(KEY, options['pem-key'] ?? 'bundle.pem', '--pem-key', 'a key of a ConfigMap')
  const spiffeKey = options['spiffe-key'] ?? null
  if (spiffeKey !== null) matching(KEY, spiffeKey, '--spiffe-key', 'a key of a ConfigMap')
  const federated = [...new Set((options.federated ?? []).map((name) => trustDomainOf(name, '--federated')))]
  const trustDomain = options['trust-domain'] ?? null
  const keys = [pemKey, ...(spiffeKey === null ? [] : [spiffeKey]), ...federated.map((name) => `federated.${name}.pem`)]
  const twice = keys.find((key, at) => keys.indexOf(key) !== at)
  if (twice !== undefined) throw misused(`two bundles cannot both go into the key ${quoted(twice)}`)
  if (configMap === null && (spiffeKey !== null || federated.length > 0 || options['pem-key'] !== undefined)) {
    throw misused('--pem-key, --spiffe-key and --federated are about a ConfigMap: name it with --config-map')
  }
  return {
    configMap: configMap === null ? null : matching(NAME, configMap, '--config-map', 'a name of Kubernetes'),
    clusterTrustBundle,
    pemKey,
    spiffeKey,
    federated,
    trustDomain: trustDomain === null ? null : trustDomainOf(trustDomain, '--trust-domain'),
    namespace: await namespaceOf(options, env, files),
    lease: matching(NAME, options.lease ?? 'icp-agent-bundle-publisher', '--lease', 'a name of Kubernetes'),
  }
}

export interface PublisherParts {
  readonly address: string
  readonly tokenPath: string
  readonly caPath: string
  readonly holder: string
  readonly files: Pick<Files, 'read'>
  readonly clock: Clock
  readonly random: Random
  readonly openHttp: OpenHttp
  readonly tell: (text: string) => void
}

export function openPublisher(
  { configMap, clusterTrustBundle, namespace, lease: name }: Publication,
  { address, tokenPath, caPath, holder, files, clock, random, openHttp, tell }: PublisherParts,
): { readonly publisher: BundlePublisher; readonly api: AsyncDisposable } {
  const fileEvents = { file: (path: string, setting: string) => fileTold(path, setting, tell) }
  const settings = { caSetting: '--ca-file', tokenSetting: '--token-file' }
  const api = new KubernetesApi({ files, fileEvents, openHttp, address, tokenPath, caPath, ...settings })
  const objects = new KubernetesObjects(api, clock)
  const targets: PublishTarget[] = []
  if (configMap !== null) targets.push(new ConfigMapTarget(objects, { namespace, name: configMap }))
  if (clusterTrustBundle !== null) targets.push(new ClusterTrustBundleTarget(objects, clusterTrustBundle))
  const publisher = new BundlePublisher({
    lease: new Lease({ objects, clock, namespace, name, holder }),
    targets,
    clock,
    random,
    said: {
      leading: () => tell('holds the lease, and writes'),
      following: (other) =>
        tell(other === '' ? 'does not hold the lease' : `waits for the lease, which ${other} holds`),
      written: (what) => tell(`wrote ${what}`),
      failed: (what, error) => tell(`${what}: ${error.message} [${error.code}]; it is tried again`),
      succeeded: (what) => tell(`${what}: works again`),
    },
  })
  return { publisher, api }
}

/** Reports a problem of a file once, until the file can be used again. */
function fileTold(path: string, setting: string, tell: (text: string) => void): Recurring {
  let said = ''
  return {
    failed(error) {
      const text = messageOf(error)
      if (text !== said) tell(`${path} (${setting}): ${text}; what was read from it before stays in force`)
      said = text
    },
    succeeded() {
      said = ''
    },
    trouble: null,
  }
}

function bundleObject(options: PublicationOptions): Publication['clusterTrustBundle'] {
  const { 'cluster-trust-bundle': name, 'signer-name': signerName = '' } = options
  if (name === undefined) {
    if (signerName !== '')
      throw misused('--signer-name is about a ClusterTrustBundle: name it with --cluster-trust-bundle')
    return null
  }
  if (signerName !== '') matching(SIGNER, signerName, '--signer-name', 'such as example.org/workloads')
  const prefix = signerName === '' ? '' : `${signerName.replace('/', ':')}:`
  if (!name.startsWith(prefix)) {
    throw misused(
      `--cluster-trust-bundle must begin with ${quoted(prefix)}, because of its signer, not ${quoted(name)}`,
    )
  }
  const what = prefix === '' ? 'a name of Kubernetes' : `${quoted(prefix)} and a name of Kubernetes`
  matching(NAME, name.slice(prefix.length), '--cluster-trust-bundle', what)
  return { name, signerName }
}

async function namespaceOf(
  { namespace }: PublicationOptions,
  env: Readonly<Record<string, string | undefined>>,
  files: Pick<Files, 'read'>,
): Promise<string> {
  const given = namespace ?? env['POD_NAMESPACE']
  if (given) return matching(NAMESPACE, given, '--namespace', 'a namespace')
  const file = await files.read(`${SERVICE_ACCOUNT}/namespace`, { maxBytes: MAX_NAMESPACE_BYTES })
  if (file === null) throw misused('--namespace is missing, and neither POD_NAMESPACE nor a service account says it')
  return matching(NAMESPACE, file.toString('utf8').trim(), `${SERVICE_ACCOUNT}/namespace`, 'a namespace')
}

function trustDomainOf(text: string, option: string): string {
  const name = text.replace(/^spiffe:\/\//, '')
  try {
    if (SpiffeId.ofTrustDomain(name).trustDomain === name) return name
  } catch (error) {
    if (!(error instanceof AgentError)) throw error
  }
  throw misused(`${option} must be a trust domain such as example.org, not ${quoted(text)}`)
}

function matching(pattern: RegExp, text: string, option: string, what: string): string {
  if (pattern.test(text)) return text
  throw misused(`${option} must be ${what}, not ${quoted(text)}`)
}
