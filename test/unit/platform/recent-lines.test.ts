import { expect, test } from 'vitest'
import { createUntypedLog } from '../../../agent/platform/pino-log.js'
import { RecentLines } from '../../../agent/platform/recent-lines.js'

test('the newest lines are kept, and never more bytes than allowed, whatever their characters', () => {
  const recent = new RecentLines(100)
  for (let i = 0; i < 1_000; i++) {
    recent.add(`${'ä'.repeat(i % 30)}${i}\n`)
    expect(Buffer.byteLength(recent.lines.join(''))).toBeLessThanOrEqual(100)
  }
  expect(recent.lines.at(-1)).toContain('999')
  expect(recent.lines.length + recent.dropped).toBe(1_000)
})

test('a line that is larger than everything may be pushes no other out', () => {
  const recent = new RecentLines(10)
  recent.add('small\n')
  recent.add(`${'x'.repeat(11)}\n`)
  expect(recent).toMatchObject({ lines: ['small\n'], dropped: 1 })
})

test('the log keeps what it wrote, as JSON whatever the format, without secrets and what the level leaves out', () => {
  using log = createUntypedLog({ level: 'info', format: 'console', stdout: { write: () => undefined } })
  log.debug('Not written')
  log.named('x').info('Written', { header: 'Bearer abcdefgh' })
  const [line, ...more] = log.recent.lines
  expect(more).toEqual([])
  expect(JSON.parse(line ?? '')).toMatchObject({ event: 'Written', logger: 'x', header: '[redacted]' })
})
