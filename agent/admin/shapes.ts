import * as z from 'zod'
import { iso } from '../lib/time.js'
import { API_VERSION } from './route.js'

/** A moment, ISO 8601 in UTC. */
export const time = z.iso.datetime()
export const timeOrNull = time.nullable()

/** The first members of every answer. */
export const head = { api_version: z.literal(API_VERSION), now: time } as const

/** Selectors as `{"unix:uid": "1000"}`, the form of the server's entries and of the log. */
export const selectors = z.record(z.string(), z.string())

/** The value of a setting as it would be written in the file. */
export const shownSetting = z.union([z.string(), z.number(), z.boolean(), z.array(z.string()), z.null()])

/** A page of rows. */
export function pageOf<T extends z.ZodType>(row: T) {
  return z.object({
    ...head,
    snapshot_at: time.describe('when the rows of this page were read'),
    total: z.int().describe('rows of all pages, before filters'),
    next: z.string().nullable().describe('the value of `after` for the next page; null on the last one'),
    rows: z.array(row),
  })
}

export function isoOrNull(at: number | null): string | null {
  return at === null ? null : iso(at)
}
