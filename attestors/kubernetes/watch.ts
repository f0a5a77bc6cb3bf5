import * as z from 'zod'
import { AgentError } from '../../agent/errors.js'
import { LinkedAbort } from '../../agent/lib/abort.js'
import { jsonOf } from '../../agent/lib/json.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Random } from '../../agent/ports/random.js'
import { linesOf } from '../shared/lines.js'
import type { KubernetesApi } from './api.js'
import { brokeOff, errorEvent, statusOf } from './api-errors.js'
import { MAX_POD_BYTES } from './list.js'
import { type Pod, parsePod } from './pod.js'

export interface PodWatch {
  readonly api: Pick<KubernetesApi, 'open'>
  readonly nodeName: string
  readonly clock: Pick<Clock, 'after'>
  readonly random: Random
  /** The resource version after which it begins. */
  readonly version: string
  /** Gets a function that ends the watch early. */
  onInterrupt(end: () => void): void
}

export interface WatchEvents {
  opened(): void
  /** A pod was added or changed. */
  changed(pod: Pod): void
  deleted(uid: string): void
  /** All changes up to this version have been delivered. */
  reached(version: string): void
  /** An object that is not a valid pod. */
  unreadable(): void
}

/**
 * Why a watch ended: the server closed it, as it does from time to time; the connection broke; no data arrived for too
 * long; the version is no longer known (410); a new list was requested.
 */
export type WatchEnd = 'closed' | 'broken' | 'silent' | 'expired' | 'interrupted'

/** The server closes it after 5 to 10 minutes, at random, so that the watches of a cluster do not end together. */
const SHORTEST_S = 300
/** Bookmarks arrive about once a minute; a connection without any is dead, even if TCP shows no error. */
const SILENCE_MS = 150_000

const event = z.object({ type: z.string(), object: z.unknown().optional() })
const meta = z.object({
  metadata: z.object({ uid: z.string().optional(), resourceVersion: z.string().optional() }),
})

/** One watch, from its request to its end. Throws `platform.unavailable` when it cannot be opened or reports an error. */
export async function watchPods(watch: PodWatch, events: WatchEvents, signal: AbortSignal): Promise<WatchEnd> {
  using cut = new LinkedAbort(signal)
  let ended: WatchEnd | null = null
  const end = (why: WatchEnd) => {
    ended ??= why
    cut.abort(new AgentError('platform.unavailable', `the watch is ${why}`))
  }
  let silence = watch.clock.after(SILENCE_MS, () => end('silent'))
  const heard = () => {
    silence[Symbol.dispose]()
    silence = watch.clock.after(SILENCE_MS, () => end('silent'))
  }
  watch.onInterrupt(() => end('interrupted'))
  try {
    const { body } = await watch.api.open(pathOf(watch), cut.signal)
    events.opened()
    for await (const line of linesOf(listening(body, heard), MAX_POD_BYTES)) {
      if (take(line, events) === 'expired') return 'expired'
    }
    return 'closed'
  } catch (error) {
    if (signal.aborted) return 'closed'
    if (ended) return ended
    if (statusOf(error) === 410) return 'expired'
    // A broken watch is opened again; only if that fails is it a failure.
    if (brokeOff(error)) return 'broken'
    throw error
  } finally {
    silence[Symbol.dispose]()
  }
}

async function* listening(body: AsyncIterable<Buffer>, heard: () => void): AsyncGenerator<Buffer> {
  for await (const piece of body) {
    heard()
    yield piece
  }
}

function pathOf({ nodeName, version, random }: PodWatch): string {
  const query = new URLSearchParams({
    watch: 'true',
    fieldSelector: `spec.nodeName=${nodeName}`,
    resourceVersion: version,
    allowWatchBookmarks: 'true',
    timeoutSeconds: String(Math.round(SHORTEST_S * (1 + random.fraction()))),
  })
  return `/api/v1/pods?${query}`
}

/** Handles one event of the stream. Unknown types are ignored, because later versions of the API may have some. */
function take(line: string, events: WatchEvents): 'taken' | 'expired' {
  const { data } = event.safeParse(jsonOf(line))
  if (!data) throw new AgentError('platform.unavailable', 'the watch of Kubernetes sent an invalid event')
  const { metadata } = meta.safeParse(data.object).data ?? {}
  switch (data.type) {
    case 'ADDED':
    case 'MODIFIED': {
      const pod = parsePod(data.object)
      if (pod) events.changed(pod)
      else events.unreadable()
      break
    }
    case 'DELETED':
      if (metadata?.uid) events.deleted(metadata.uid)
      break
    case 'ERROR': {
      const error = errorEvent(data.object)
      if (statusOf(error) === 410) return 'expired'
      throw error
    }
    default:
      break
  }
  if (metadata?.resourceVersion) events.reached(metadata.resourceVersion)
  return 'taken'
}
