import type { Selectors } from '../../agent/identity/selector.js'
import { AGENT_TYPE, CLIENT_ID, type Pod, type PodContainer } from './pod.js'

export interface SelectorSettings {
  /** `attestation.kubernetes.cluster_name`; empty: no `k8s:cluster`. */
  readonly clusterName: string
  /** Namespaces whose pods may name an AI agent. */
  readonly authsecNamespaces: readonly string[]
  /** The account of the agent: a tenant or a workspace. */
  readonly tenantId: string
}

export interface PodSelectors {
  readonly selectors: Selectors
  /** What was left out, and why. */
  readonly notes: readonly string[]
}

const MAX_LABELS = 256
const MAX_OWNERS = 16
/** A label cannot be longer than 63; an annotation can be of any size. */
const MAX_VALUE = 255
/** The label of a Deployment on its ReplicaSets and pods; its value is also the end of the ReplicaSet's name. */
const TEMPLATE_HASH = 'pod-template-hash'
const CONTROL = /\p{C}/u

/** The selectors of a process in this container of this pod. Pure. */
export function selectorsOf(pod: Pod, container: PodContainer, settings: SelectorSettings): PodSelectors {
  const selectors = new Map<string, string>()
  const notes: string[] = []
  const set = (value: string, ...keys: readonly string[]): void => {
    if (value !== '') for (const key of keys) selectors.set(key, value)
  }
  set(pod.namespace, 'k8s:ns', 'k8s:namespace')
  set(pod.serviceAccount, 'k8s:sa', 'k8s:service-account')
  set(pod.name, 'k8s:pod-name', 'k8s:pod')
  set(pod.uid, 'k8s:pod-uid')
  set(pod.nodeName, 'k8s:node-name', 'node:name')
  set(container.name, 'k8s:container-name')
  set(container.image, 'k8s:container-image', 'k8s:pod-image')
  set(container.imageId, 'k8s:pod-image-id')
  set(settings.clusterName, 'k8s:cluster')
  for (const [key, value] of [...pod.labels].slice(0, MAX_LABELS)) selectors.set(`k8s:pod-label:${key}`, value)
  if (pod.labels.size > MAX_LABELS) notes.push(`${pod.labels.size - MAX_LABELS} labels left out`)
  owners(pod, set, notes)
  aiAgent(pod, settings, set, notes)
  return { selectors, notes }
}

type Set = (value: string, ...keys: readonly string[]) => void

function owners(pod: Pod, set: Set, notes: string[]): void {
  // The managing owner comes last, and so is used if there are several of a kind.
  const all = [...pod.owners].sort((a, b) => Number(a.controller) - Number(b.controller))
  for (const { kind, name } of all.slice(-MAX_OWNERS)) {
    set(name, `k8s:pod-owner-${kind.toLowerCase()}`)
    set('true', `k8s:pod-owner:${kind}:${name}`)
    if (kind === 'ReplicaSet') set(deploymentOf(name, pod), 'k8s:pod-owner-deployment')
  }
  if (all.length > MAX_OWNERS) notes.push(`${all.length - MAX_OWNERS} owners left out`)
}

/** Empty if the ReplicaSet does not belong to a Deployment but only has a similar name. */
function deploymentOf(replicaSet: string, pod: Pod): string {
  const end = `-${pod.labels.get(TEMPLATE_HASH) ?? ''}`
  return end !== '-' && replicaSet.endsWith(end) ? replicaSet.slice(0, -end.length) : ''
}

function aiAgent(pod: Pod, { authsecNamespaces, tenantId }: SelectorSettings, set: Set, notes: string[]): void {
  const named = (key: string): string => pod.labels.get(key) ?? pod.annotations.get(key) ?? ''
  const clientId = named(CLIENT_ID)
  const agentType = named(AGENT_TYPE)
  if (clientId === '' && agentType === '') return
  if (!authsecNamespaces.includes(pod.namespace)) {
    notes.push(`authsec: left out: namespace ${pod.namespace} is not in attestation.kubernetes.authsec_namespaces`)
    return
  }
  const accepted = (key: string, value: string): boolean => {
    const right = value.length <= MAX_VALUE && !CONTROL.test(value)
    if (!right) notes.push(`${key} left out: not ${MAX_VALUE} printable characters at most`)
    else set(value, key)
    return right && value !== ''
  }
  accepted('authsec:agent_type', agentType)
  if (accepted('authsec:client_id', clientId)) set(tenantId, 'authsec:tenant_id', 'authsec:workspace_id')
}
