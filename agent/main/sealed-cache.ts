import { join } from 'node:path'
import { cacheKeys } from '../cache/cache-key.js'
import { type Restored, SealedCache } from '../cache/sealed-cache.js'
import { AgentError } from '../errors.js'
import { type CacheEvents, cacheEvents } from '../observability/cache-events.js'
import type { Agent } from './compose.js'
import type { World } from './world.js'

/** The clocks of agent and server may differ by so much and still be called in agreement. */
const AGREEMENT_MS = 300_000
const LOOK_MS = 1_000

/** The sealed cache of a running agent, or the reason why there is none. */
export interface RunningCache {
  readonly events: CacheEvents
  /** Writes what changes; serves what was restored once the server has confirmed the clock. */
  run(signal: AbortSignal): Promise<void>
}

/**
 * Opens the cache and takes over what it holds. Whatever is wrong with it is said, and the agent starts without:
 * identities can be issued anew.
 */
export async function restoreCache(agent: Agent, { files, clock, log }: World): Promise<RunningCache> {
  const { config, store, demand, sync } = agent
  const events = cacheEvents({ log: log.named('cache') }, clock)
  try {
    const { dataDir, tenantId, nodeId } = config.agent
    const keys = await cacheKeys({
      files,
      configured: config.security.cacheEncryptionKey,
      previous: config.security.cacheEncryptionKeyPrevious,
      path: join(dataDir, 'cache.key'),
    })
    const path = config.security.cachePath
    const book = () => sync.book.page
    const clockAgrees = () => agrees(agent.client.skew())
    const about = { account: tenantId, nodeId, path, book, clockAgrees }
    const cache = new SealedCache({ ...about, files, clock, keys, store, demand, events })
    const restored = await cache.restore()
    if (restored && !restored.clockBehind) adopt(agent, restored)
    return {
      events,
      run: async (signal) => {
        // Until then nothing is written either: what lies there says until when the clock has to be doubted.
        if (restored?.clockBehind) await confirmClock(agent, restored, events, clock, signal)
        if (!signal.aborted) await cache.run(signal)
      },
    }
  } catch (error) {
    if (!(error instanceof AgentError)) throw error
    events.writeFailed(error)
    return { events, run: async () => {} }
  }
}

function agrees(skewMs: number | null): boolean {
  return skewMs !== null && Math.abs(skewMs) <= AGREEMENT_MS
}

function adopt({ sync, demand }: Agent, { snapshot, book, lastUses }: Restored): void {
  demand.restore(lastUses)
  sync.restore(snapshot, book)
}

/** Waits for the server's Date: only if it agrees with our clock was the earlier clock the wrong one. */
async function confirmClock(
  agent: Agent,
  restored: Restored,
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
    await clock.sleep(LOOK_MS, signal).catch(ignoreAbort(signal))
  }
}

/** The end of the agent is no failure of the wait. */
function ignoreAbort(signal: AbortSignal): (reason: unknown) => void {
  return (reason) => {
    if (!signal.aborted) throw reason
  }
}
