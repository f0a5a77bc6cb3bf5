import { decodeJwt, errors } from 'jose'
import { unauthorized } from './api-error.js'
import type { Generation } from './options.js'

type Evidence = Readonly<Record<string, unknown>>
type NodeSelectors = Record<string, string>

/**
 * Node selectors from attestation evidence, derived as by the real server. The token of a pod is parsed but not verified,
 * because there is no cluster. Refuses invalid evidence with 401.
 */
export function nodeSelectors(type: string, evidence: Evidence, generation: Generation): NodeSelectors {
  switch (type) {
    case 'unix': {
      const { pid } = evidence
      const named = pick(evidence, { 'unix:username': 'username', 'unix:hostname': 'hostname' })
      return typeof pid === 'number' ? { 'unix:pid': String(Math.trunc(pid)), ...named } : named
    }
    case 'docker':
      return pick(evidence, { 'docker:container_id': 'container_id', 'docker:image_name': 'image_name' })
    case 'kubernetes':
      return kubernetes(evidence)
    case 'join_token':
      if (generation === 'workspace') return {}
      break
  }
  throw refused()
}

function kubernetes(evidence: Evidence): NodeSelectors {
  const { psat_token: token, cluster_name: cluster } = evidence
  if (typeof token !== 'string' || token === '') throw refused()
  const claims = record(claimsOf(token)['kubernetes.io'])
  const selectors: NodeSelectors = {}
  const put = (key: string, value: unknown) => {
    if (typeof value === 'string' && value !== '') selectors[key] = value
  }
  put('k8s:cluster', cluster)
  put('k8s:ns', claims['namespace'])
  put('k8s:sa', record(claims['serviceaccount'])['name'])
  put('k8s:pod-name', record(claims['pod'])['name'])
  put('k8s:pod-uid', record(claims['pod'])['uid'])
  put('k8s:node-name', record(claims['node'])['name'])
  return selectors
}

function claimsOf(token: string): Evidence {
  try {
    return decodeJwt(token)
  } catch (error) {
    if (error instanceof errors.JOSEError) throw refused()
    throw error
  }
}

function pick(evidence: Evidence, keys: Readonly<Record<string, string>>): NodeSelectors {
  const selectors: NodeSelectors = {}
  for (const [selector, key] of Object.entries(keys)) {
    const value = evidence[key]
    if (typeof value === 'string') selectors[selector] = value
  }
  return selectors
}

function record(value: unknown): Evidence {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

function refused() {
  return unauthorized('Attestation failed')
}
