import { setMaxListeners } from 'node:events'
import { limitedControlPlane } from '../../../agent/icp/limited-control-plane.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { ServerReachability } from '../../../agent/icp/server-reachability.js'
import type { Entry } from '../../../agent/identity/entry.js'
import { jwtEvents } from '../../../agent/observability/jwt-events.js'
import { Demand } from '../../../agent/svids/demand.js'
import { EntryIndex } from '../../../agent/svids/entry-index.js'
import { JwtCache, type JwtSubject } from '../../../agent/svids/jwt-cache.js'
import { JwtKeys } from '../../../agent/svids/jwt-keys.js'
import { JwtSvids } from '../../../agent/svids/jwt-svids.js'
import { SvidStore } from '../../../agent/svids/store.js'
import { FakeClock } from '../../fakes/clock.js'
import { FakeControlPlane } from '../../fakes/control-plane.js'
import { fixedRandom } from '../../fakes/random.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { until } from '../../support/until.js'

export const DEADLINE_MS = 10_000
export const FOREVER = new AbortController().signal
setMaxListeners(0, FOREVER)

export type JwtWorld = Awaited<ReturnType<typeof jwtWorld>>

/** JWT-SVIDs on demand, around a server in memory; the loop runs until it is disposed. */
export async function jwtWorld() {
  const clock = new FakeClock()
  const server = await FakeControlPlane.create({ clock })
  const sinks = new RecordedSinks()
  const events = jwtEvents(sinks)
  const store = new SvidStore()
  const demand = new Demand(clock)
  const limiter = new RateLimiter(clock, fixedRandom(0))
  const cache = new JwtCache()
  const controlPlane = limitedControlPlane(server, { limiter, reachability: new ServerReachability(clock) }, () => true)
  const keys = new JwtKeys({ store, controlPlane, limiter, clock, events })
  await keys.refresh(FOREVER)
  const markServed: string[] = []
  const onVerified = (trustDomain: string) => void markServed.push(trustDomain)
  const svids = new JwtSvids({ store, demand, cache, limiter, controlPlane, keys, clock, events, onVerified })
  const stop = new AbortController()
  let attested = true
  const running = svids.run(() => (attested ? server.agent : null), stop.signal).catch((reason: unknown) => reason)

  /** Takes over the entries that the server has now. */
  const sync = () => {
    const entries = new Map(server.entryList)
    store.publish(
      { synced: true, entries, index: new EntryIndex(entries.values()) },
      { entries: 'all', bundles: false },
    )
  }
  const add = (path: string, id?: string): Entry => {
    const entry = server.addEntry({ path, selectors: { 'unix:uid': '1000' }, ...(id === undefined ? {} : { id }) })
    sync()
    return entry
  }
  return {
    ...{ clock, server, sinks, store, demand, limiter, cache, keys, svids, markServed, running, sync, add },
    subject: (entry: Entry, ...audience: string[]): JwtSubject => ({
      entryId: entry.id,
      spiffeId: entry.spiffeId,
      audience: audience.length === 0 ? ['db'] : audience,
    }),
    want: (subject: JwtSubject, { uid = 1000, deadlineMs = DEADLINE_MS, signal = FOREVER } = {}) =>
      svids.want(subject, uid, deadlineMs, signal),
    setAttested: (value: boolean) => {
      attested = value
    },
    /** Requests for tokens so far. */
    issued: () => server.count('issueJwt'),
    /** Each token that was asked for has been verified, which real threads do and no clock of ours hurries. */
    verified: () => until(() => markServed.length === server.count('issueJwt')),
    stop: async () => {
      stop.abort()
      await running
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await running
    },
  }
}

/** Every thread has had its time: what has not happened by now does not. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}
