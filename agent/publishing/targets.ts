import * as z from 'zod'
import { AgentError } from '../errors.js'
import type { ClusterObject, ClusterObjects } from '../ports/cluster-objects.js'
import { readable } from './objects.js'
import type { PublishedTexts } from './texts.js'

/** `same`: nothing had to be written. `conflict`: another client wrote meanwhile; read again. */
export type PutResult = 'same' | 'written' | 'conflict'

/** An object of Kubernetes that holds the bundle. */
export interface PublishTarget {
  readonly what: string
  put(texts: PublishedTexts, signal: AbortSignal): Promise<PutResult>
}

/** Labels of objects that this program creates. Labels of existing objects are kept. */
const LABELS = { 'app.kubernetes.io/managed-by': 'icp-agent' }
const configMap = z.looseObject({ data: z.record(z.string(), z.string()).nullish() })
const trustBundle = z.looseObject({
  spec: z.looseObject({ signerName: z.string().nullish(), trustBundle: z.string().nullish() }),
})

/** A ConfigMap. Its other keys are not changed. */
export class ConfigMapTarget implements PublishTarget {
  readonly #request: ClusterObject

  constructor(
    private readonly objects: Pick<ClusterObjects, 'read' | 'create' | 'replace'>,
    private readonly options: { readonly namespace: string; readonly name: string },
  ) {
    const { namespace, name } = options
    const collection = `/api/v1/namespaces/${namespace}/configmaps`
    this.#request = { collection, name, what: `configmaps/${name} in the namespace ${namespace}` }
  }

  get what(): string {
    return this.#request.what
  }

  async put({ files }: PublishedTexts, signal: AbortSignal): Promise<PutResult> {
    const { namespace, name } = this.options
    const found = await this.objects.read(this.#request, signal)
    const data = Object.fromEntries(files)
    if (found === null) {
      const metadata = { name, namespace, labels: LABELS }
      const made = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data }
      return (await this.objects.create(this.#request, made, signal)) ? 'written' : 'conflict'
    }
    const held = readable(configMap, found, this.what)
    if ([...files].every(([key, text]) => held.data?.[key] === text)) return 'same'
    const changed = { ...held, data: { ...held.data, ...data } }
    return (await this.objects.replace(this.#request, changed, signal)) ? 'written' : 'conflict'
  }
}

const GROUP = 'certificates.k8s.io'
const RESOURCE = 'clustertrustbundles'
const VERSIONS = ['v1', 'v1beta1', 'v1alpha1']

/** A ClusterTrustBundle, in the newest version that the cluster serves. */
export class ClusterTrustBundleTarget implements PublishTarget {
  readonly what: string
  #version: string | null = null

  constructor(
    private readonly objects: ClusterObjects,
    /** `signerName` is empty for a bundle of no signer. */
    private readonly options: { readonly name: string; readonly signerName: string },
  ) {
    this.what = `${RESOURCE}/${options.name}`
  }

  async put({ pem }: PublishedTexts, signal: AbortSignal): Promise<PutResult> {
    const { name, signerName } = this.options
    const version = await this.#served(signal)
    const request = {
      collection: `/apis/${GROUP}/${version}/${RESOURCE}`,
      name,
      what: signerName === '' ? this.what : `${this.what} (and attest on signers/${signerName})`,
    }
    const found = await this.objects.read(request, signal)
    const spec = { ...(signerName !== '' && { signerName }), trustBundle: pem }
    if (found === null) {
      const kind = { apiVersion: `${GROUP}/${version}`, kind: 'ClusterTrustBundle' }
      const made = { ...kind, metadata: { name, labels: LABELS }, spec }
      return (await this.objects.create(request, made, signal)) ? 'written' : 'conflict'
    }
    const held = readable(trustBundle, found, this.what)
    if ((held.spec.signerName ?? '') !== signerName) {
      throw new AgentError(
        'platform.unavailable',
        `${this.what} is of the signer ${JSON.stringify(held.spec.signerName ?? '')}, which cannot be changed to ${JSON.stringify(signerName)}: choose another name, or delete it`,
      )
    }
    if (held.spec.trustBundle === pem) return 'same'
    return (await this.objects.replace(request, { ...held, spec }, signal)) ? 'written' : 'conflict'
  }

  async #served(signal: AbortSignal): Promise<string> {
    if (this.#version !== null) return this.#version
    for (const version of VERSIONS) {
      if (!(await this.objects.serves(GROUP, version, RESOURCE, signal))) continue
      this.#version = version
      return version
    }
    throw new AgentError(
      'platform.unavailable',
      `this cluster serves no ${RESOURCE} (${GROUP}): its API server needs the feature gate ClusterTrustBundle and, for a beta, --runtime-config=${GROUP}/v1beta1/${RESOURCE}=true`,
    )
  }
}
