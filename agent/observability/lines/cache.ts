import { type LineTable, SPELL } from './spec.js'

/** The sealed cache. */
export const CACHE_LINES = {
  'Sealed cache restored': {
    level: 'info',
    fields: { entries: 'number', svids: 'number' },
    means: 'The agent serves the SVIDs of an earlier run.',
  },
  'The clock is behind the time at which the sealed cache was written; not serving it until the ICP server confirms the clock':
    {
      level: 'warning',
      fields: {},
      means: 'A clock that was set back could make expired SVIDs look valid.',
      todo: 'Correct the clock.',
    },
  'ICP server confirmed the clock; serving the sealed cache': {
    level: 'info',
    fields: {},
    ends: 'The clock is behind the time at which the sealed cache was written; not serving it until the ICP server confirms the clock',
  },
  'Sealed cache file cannot be trusted and is set aside': {
    level: 'warning',
    fields: { path: 'text', reason: 'text' },
    means: 'It is damaged, or sealed with another key. The agent starts without it.',
    todo: 'Check the disk, unless the key was replaced.',
  },
  'Sealed cache could not be opened; the agent goes on from memory and tries again': {
    level: 'warning, then debug',
    fields: { error: 'error' },
    means:
      'The disk fails, or the key file holds no key. After the next entry sync the agent replaces a cache that it cannot read.',
    todo: 'Correct what `error` names: until then a restart without the ICP server serves nothing.',
  },
  'Sealed cache is in use again': {
    level: 'info',
    fields: SPELL,
    ends: 'Sealed cache could not be opened; the agent goes on from memory and tries again',
  },
  'SVIDs of the sealed cache could not be read; issuing them again': {
    level: 'warning',
    fields: { svids: 'number', error: 'error' },
    means: 'The disk failed while they were read. The others are served.',
    todo: 'Check the disk.',
  },
  'Sealed cache could not be written; the agent goes on from memory': {
    level: 'warning, then debug',
    fields: { error: 'error' },
    means: 'The disk is full or fails.',
    todo: 'Make room: until then a restart without the ICP server serves what was written before.',
  },
  'Sealed cache can be written again': {
    level: 'info',
    fields: SPELL,
    ends: 'Sealed cache could not be written; the agent goes on from memory',
  },
} as const satisfies LineTable
