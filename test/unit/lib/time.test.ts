import { expect, test } from 'vitest'
import { iso, secondsOf } from '../../../agent/lib/time.js'

test('a moment is written in UTC with milliseconds', () => {
  expect(iso(Date.UTC(2026, 0, 2, 3, 4, 5, 6))).toBe('2026-01-02T03:04:05.006Z')
})

test('seconds have one decimal', () => {
  expect([0, 49, 50, 1_449, 1_450].map(secondsOf)).toEqual([0, 0, 0.1, 1.4, 1.5])
})
