import { join } from 'node:path'
import type { Config } from '../config/config.js'
import { AgentError } from '../errors.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import { type CacheEvents, cacheEvents } from '../observability/cache-events.js'
import { cacheKeys } from '../svids/sealed-cache/cache-key.js'
import { type RestoredCache, SealedCache } from '../svids/sealed-cache/sealed-cache.js'
import type { Agent } from './compose.js'
import type { World } from './world.js'

/** Tolerance between the clocks of agent and server. */
const AGREEMENT_MS = 300_000
const LOOK_MS = 1_000
/** Wait before a cache that could not be opened is tried again. */
const RETRY_MS = 15_000

/** The dependencies of the cache. */
export type Cached = Pick<Agent, 'store' | 'demand' | 'commonName' | 'restore'> & {
  readonly config: {
    readonly agent: Pick<Config['agent'], 'dataDir' | 'tenantId' | 'nodeId'>
    readonly security: Omit<Config['security'], 'revokeRemoved'>
  }
  readonly publisher: Pick<Agent['publisher'], 'history'>
  readonly client: Pick<Agent['client'], 'skew'>
}

/** The sealed cache of a running agent. */
export interface RunningCache {
  readonly events: CacheEvents
  /** Writes changes, and serves a restored cache when the server has confirmed the clock. */
  run(signal: AbortSignal): Promise<void>
}

interface OpenedCache {
  readonly cache: SealedCache
  readonly restored: RestoredCache | null
}

/**
 * Opens the cache and restores its content. Any fault is logged and the agent starts without the cache, because SVIDs can
 * be issued again. A failing disk is tried again while the agent runs; an unreadable cache is overwritten only after the
 * entries have been synced.
 */
export async function restoreCache(
  agent: Cached,
  { files, clock, log }: Pick<World, 'files' | 'clock' | 'log'>,
): Promise<RunningCache> {
  const events = cacheEvents({ log: log.named('cache') }, clock)
  let cache: SealedCache | null = null
  const open = async (): Promise<OpenedCache | null> => {
    try {
      cache ??= await sealedCache(agent, { files, clock }, events)
      const restored = await cache.restore()
      events.opened()
      if (restored && !restored.clockBehind) adopt(agent, restored)
      return { cache, restored }
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      events.openFailed(error)
      return cache && agent.store.current.synced ? { cache, restored: null } : null
    }
  }
  const atStart = await open()
  return {
    events,
    run: async (signal) => {
      let opened = atStart
      while (!opened) {
        await sleepUnlessAborted(clock, RETRY_MS, signal)
        if (signal.aborted) return
        opened = await open()
      }
      const { cache, restored } = opened
      // Nothing is written until then either, because the file holds the time by which the clock is checked.
      if (restored?.clockBehind) await confirmClock(agent, restored, events, clock, signal)
      if (!signal.aborted) await cache.run(signal)
    },
  }
}

async function sealedCache(
  { config, store, demand, publisher, client, commonName }: Cached,
  { files, clock }: Pick<World, 'files' | 'clock'>,
  events: CacheEvents,
): Promise<SealedCache> {
  const { dataDir, tenantId, nodeId } = config.agent
  const { cacheEncryptionKey, cacheEncryptionKeyPrevious, cachePath } = config.security
  const keys = await cacheKeys({
    files,
    configured: cacheEncryptionKey,
    previous: cacheEncryptionKeyPrevious,
    path: join(dataDir, 'cache.key'),
  })
  const history = () => publisher.history.state
  const clockAgrees = () => agrees(client.skew())
  const about = { account: tenantId, nodeId, path: cachePath, history, clockAgrees, commonName: commonName.proven }
  return new SealedCache({ ...about, files, clock, keys, store, demand, events })
}

function agrees(skewMs: number | null): boolean {
  return skewMs !== null && Math.abs(skewMs) <= AGREEMENT_MS
}

function adopt(agent: Cached, { snapshot, history, lastUses, commonName: worked }: RestoredCache): void {
  agent.commonName.restore(worked)
  agent.demand.restore(lastUses)
  agent.restore({ snapshot, history })
}

/** Waits for the server's Date: if it agrees with our clock, the earlier clock was wrong. */
async function confirmClock(
  agent: Cached,
  restored: RestoredCache,
  events: CacheEvents,
  clock: World['clock'],
  signal: AbortSignal,
): Promise<void> {
  for (let skew = agent.client.skew(); ; skew = agent.client.skew()) {
    if (agrees(skew)) {
      events.clockConfirmed()
      adopt(agent, restored)
      return
    }
    if (signal.aborted) return
    await sleepUnlessAborted(clock, LOOK_MS, signal)
  }
}
