import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from '../../support/until.js'

const CHANGES = 300
const SPACING_MS = 200

export interface BusyNode {
  /** All there and known, each with the label `n` of `0`. */
  readonly pods: readonly string[]
  /** Gives the pod the label `n`. */
  change(pod: string, n: string): Promise<void> | void
  /** What the agent says of its label `n` now. */
  seen(pod: string): Promise<string>
  /** What else happens after so many changes. */
  disturb?(changes: number): void
}

export interface Minute {
  /** Labels that were not the last ones. */
  readonly stale: readonly string[]
  /** From a change to the agent's knowing it. */
  readonly slowestMs: number
  /** Of the heap, without garbage, between the 50th and the last change. */
  readonly grownBytes: number
}

/** Five changes a second for a minute, each of which must be seen, and no label older than it is. */
export async function busyMinute({ pods, change, seen, disturb }: BusyNode): Promise<Minute> {
  const last = new Map(pods.map((pod) => [pod, '0']))
  const stale: string[] = []
  let slowestMs = 0
  let heap = 0
  for (let n = 1; n <= CHANGES; n++) {
    const due = sleep(SPACING_MS)
    const pod = pods[(n * 7) % pods.length] ?? ''
    await change(pod, String(n))
    last.set(pod, String(n))
    const began = performance.now()
    await until(async () => (await seen(pod)) === String(n), { what: `change ${n}` })
    slowestMs = Math.max(slowestMs, performance.now() - began)
    const other = pods[(n * 13) % pods.length] ?? ''
    const label = await seen(other)
    if (label !== last.get(other)) stale.push(`${other}: ${label}, not ${last.get(other)}`)
    disturb?.(n)
    if (n === 50) heap = liveBytes()
    await due
  }
  return { stale, slowestMs, grownBytes: liveBytes() - heap }
}

/** What the heap holds once all garbage is collected. */
export function liveBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}
