import { AgentError } from '../errors.js'
import { iso } from '../lib/time.js'
import type { Clock } from '../ports/clock.js'
import { API_VERSION } from './route.js'

/** Rows that one iteration of the event loop makes or skips; also the maximum of a page. */
export const PAGE = 500

/** A row that is made when it is needed. `key` orders the rows, and the next page begins after one. */
export interface LazyRow<R> {
  readonly key: string
  /** Null if the row no longer exists, or a filter excludes it. */
  make(): R | null
}

export interface Page<R> {
  readonly api_version: typeof API_VERSION
  readonly now: string
  readonly snapshot_at: string
  readonly total: number
  readonly next: string | null
  readonly rows: readonly R[]
}

/**
 * One page of a list: at most `limit` rows after the key `after`. Yields to the event loop after every 500 rows, made or
 * skipped, so that no list blocks it, whatever the filter. `rows` are in the order of their keys.
 */
export async function pageOfRows<R>(
  rows: readonly LazyRow<R>[],
  query: Readonly<Record<string, string | undefined>>,
  { clock, turn }: { readonly clock: Pick<Clock, 'now'>; readonly turn: () => Promise<void> },
): Promise<Page<R>> {
  const limit = limitOf(query['limit'])
  const made: R[] = []
  const snapshotAt = clock.now()
  let looked = 0
  let next: string | null = null
  for (let i = firstAfter(rows, cursorOf(query['after'])); i < rows.length; i++) {
    const row = rows[i]
    if (!row) break
    const value = row.make()
    if (value !== null) made.push(value)
    if (made.length === limit && i + 1 < rows.length) {
      next = Buffer.from(row.key).toString('base64url')
      break
    }
    if (++looked % PAGE === 0) await turn()
  }
  return {
    api_version: API_VERSION,
    now: iso(clock.now()),
    snapshot_at: iso(snapshotAt),
    total: rows.length,
    next,
    rows: made,
  }
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return PAGE
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > PAGE) throw new AgentError('request.invalid', `limit must be a number from 1 to ${PAGE}`)
  return limit
}

function cursorOf(text: string | undefined): string | null {
  return text === undefined || text === '' ? null : Buffer.from(text, 'base64url').toString()
}

function firstAfter(rows: readonly LazyRow<unknown>[], key: string | null): number {
  if (key === null) return 0
  let [low, high] = [0, rows.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((rows[middle]?.key ?? '') <= key) low = middle + 1
    else high = middle
  }
  return low
}
