import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import { sayOnce, type Trouble } from './once.js'

/** What happens to the sealed cache. */
export const cacheEvents = ({ log }: Pick<Sinks, 'log'>, clock: Clock) => {
  const writing = sayOnce(log, clock, {
    failing: 'Sealed cache could not be written; the agent goes on from memory',
    recovered: 'Sealed cache can be written again',
  })
  const opening = sayOnce(log, clock, {
    failing: 'Sealed cache could not be opened; the agent goes on from memory and tries again',
    recovered: 'Sealed cache is in use again',
  })
  let doubted: Trouble | null = null
  return {
    restored({ entries, svids, clockBehind }: { entries: number; svids: number; clockBehind: boolean }): void {
      log.info('Sealed cache restored', { entries, svids })
      if (!clockBehind) return
      const message = 'the clock is behind the time at which the cache was written'
      doubted = { code: 'cache.rejected', message, since: clock.now() }
      log.warn(
        'The clock is behind the time at which the sealed cache was written; not serving it until the ICP server confirms the clock',
      )
    },
    /** The file was renamed, is kept for inspection and never read again. */
    rejected(path: string, reason: string): void {
      log.warn('Sealed cache file cannot be trusted and is set aside', { path, reason })
    },
    /** The files stay until newly issued SVIDs replace them. */
    svidsUnread(svids: number, error: unknown): void {
      log.warn('SVIDs of the sealed cache could not be read; issuing them again', { svids, error })
    },
    openFailed(error: unknown): void {
      opening.failed(error)
    },
    opened(): void {
      opening.succeeded()
    },
    clockConfirmed(): void {
      doubted = null
      log.info('ICP server confirmed the clock; serving the sealed cache')
    },
    written(): void {
      opening.succeeded()
      writing.succeeded()
    },
    writeFailed(error: unknown): void {
      writing.failed(error)
    },
    trouble: (): Trouble | null => opening.trouble ?? writing.trouble ?? doubted,
  }
}

export type CacheEvents = ReturnType<typeof cacheEvents>
