import { AgentError } from '../errors.js'
import { iso } from '../lib/time.js'
import type { Clock } from '../ports/clock.js'
import { API_VERSION } from './route.js'

/** Rows that are made, or passed over, in one turn of the event loop; also the most that a page has. */
export const PAGE = 500

/** A row that is not made yet. `key` orders the rows and names the place where the next page begins. */
export interface LazyRow<R> {
  readonly key: string
  /** Null where there is no such row any more, or a filter leaves it out. */
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
 * One page of a list: rows behind the key `after`, at most `limit` of them. Other work gets a turn after every 500 rows
 * that were looked at, so that no list keeps the event loop, whatever the filter. `rows` are in the order of their keys.
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
