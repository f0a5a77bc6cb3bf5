import { join } from 'node:path'
import type { Config } from '../config/config.js'
import { AgentError } from '../errors.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import { type CacheEvents, cacheEvents } from '../observability/cache-events.js'
import { cacheKeys } from '../svids/sealed-cache/cache-key.js'
import { type RestoredCache, SealedCache } from '../svids/sealed-cache/sealed-cache.js'
import type { Agent } from './compose.js'
import type { World } from './world.js'

/** The clocks of agent and server may differ by so much and still be called in agreement. */
const AGREEMENT_MS = 300_000
const LOOK_MS = 1_000
/** A cache that could not be opened is tried again so soon. */
const RETRY_MS = 15_000

/** What the cache has to do with. */
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
  /** Writes what changes; serves what was restored once the server has confirmed the clock. */
  run(signal: AbortSignal): Promise<void>
}

interface OpenedCache {
  readonly cache: SealedCache
  readonly restored: RestoredCache | null
}

/**
 * Opens the cache and takes over what it holds. Any fault is logged and the agent starts without it: SVIDs can be
 * issued again. A disk that fails is tried again while the agent runs; what cannot be read is written again only after
 * the entries have come from the server.
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
      // Until then nothing is written either: what lies there says until when the clock has to be doubted.
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

/** Waits for the server's Date: only if it agrees with our clock was the earlier clock the wrong one. */
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
