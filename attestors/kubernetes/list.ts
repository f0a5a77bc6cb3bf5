import * as z from 'zod'
import { AgentError } from '../../agent/errors.js'
import type { KubernetesApi } from './api.js'
import { statusOf } from './api-errors.js'
import { JsonList } from './json-list.js'
import { type Pod, parsePod } from './pod.js'

export interface PodList {
  readonly pods: readonly Pod[]
  /** `metadata.resourceVersion`, from which a watch resumes; empty from a kubelet. */
  readonly version: string
  /** Number of objects that are not valid pods. */
  readonly unreadable: number
}

/** Objects per page; a server that answers from its cache ignores it. */
const PAGE = '250'
/** etcd accepts 1.5 MiB per object. */
export const MAX_POD_BYTES = 4 * 1024 * 1024
const MAX_PAGES = 1_000

const head = z.object({
  kind: z.string().optional(),
  metadata: z.object({ resourceVersion: z.string().optional(), continue: z.string().optional() }).optional(),
})

/**
 * Lists all pods of this node. `since`: the oldest acceptable resource version; null for the first list.
 *
 * The server answers both from its cache, which is indexed by node. If it cannot (a version that it has not reached or
 * that has expired), the list is read from its store page by page, and without pages if a page expires meanwhile (410).
 */
export async function listPods(
  api: Pick<KubernetesApi, 'open'>,
  nodeName: string,
  since: string | null,
  signal: AbortSignal,
): Promise<PodList> {
  const cached: Record<string, string> =
    since === null
      ? { limit: PAGE, resourceVersion: '0' }
      : { resourceVersion: since, resourceVersionMatch: 'NotOlderThan' }
  const ways = [cached, { limit: PAGE }, {}]
  for (const [at, way] of ways.entries()) {
    try {
      return await allPages(api, { fieldSelector: `spec.nodeName=${nodeName}`, ...way }, signal)
    } catch (error) {
      if (at === ways.length - 1 || ![400, 410, 504].includes(statusOf(error) ?? 0)) throw error
    }
  }
  throw new TypeError('the last way ends in an answer or an error')
}

/** Reads the list from the server's store instead of its cache. */
export async function listPodsForSure(
  api: Pick<KubernetesApi, 'open'>,
  nodeName: string,
  signal: AbortSignal,
): Promise<PodList> {
  return await allPages(api, { fieldSelector: `spec.nodeName=${nodeName}` }, signal)
}

async function allPages(
  api: Pick<KubernetesApi, 'open'>,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<PodList> {
  const pods: Pod[] = []
  let unreadable = 0
  let next: Record<string, string> = {}
  for (let page = 0; page < MAX_PAGES; page++) {
    const { resourceVersion: _version, resourceVersionMatch: _match, ...others } = query
    const parameters = new URLSearchParams({ ...(page === 0 ? query : others), ...next })
    const list = await onePage(api, `/api/v1/pods?${parameters}`, signal)
    pods.push(...list.pods)
    unreadable += list.unreadable
    if (list.next === '') return { pods, version: list.version, unreadable }
    next = { continue: list.next }
  }
  throw new AgentError('platform.unavailable', `Kubernetes answered more than ${MAX_PAGES} pages of pods`)
}

/** One answer, parsed while it arrives. `next`: the token of the next page, empty at the end. */
export async function onePage(
  api: Pick<KubernetesApi, 'open'>,
  path: string,
  signal: AbortSignal,
): Promise<PodList & { readonly next: string }> {
  const { body } = await api.open(path, signal)
  const pods: Pod[] = []
  let unreadable = 0
  const scanner = new JsonList((object) => {
    const pod = parsePod(object)
    if (pod) pods.push(pod)
    else unreadable++
  }, MAX_POD_BYTES)
  for await (const piece of body) scanner.push(piece)
  const { success, data } = head.safeParse(scanner.end())
  if (!success || data.kind !== 'PodList') {
    throw new AgentError('platform.unavailable', 'the answer of Kubernetes is not a list of pods')
  }
  const { resourceVersion = '', continue: token = '' } = data.metadata ?? {}
  return { pods, version: resourceVersion, unreadable, next: token }
}
