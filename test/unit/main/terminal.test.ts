import { describe, expect, test } from 'vitest'
import { count } from '../../../agent/main/terminal/count.js'
import { styleFor, wantsColour } from '../../../agent/main/terminal/style.js'
import { table } from '../../../agent/main/terminal/table.js'
import { moment, span } from '../../../agent/main/terminal/time.js'

describe('colour', () => {
  test.each([
    ['a terminal', true, {}, true],
    ['a pipe', false, {}, false],
    ['NO_COLOR', true, { NO_COLOR: '1' }, false],
    ['an empty NO_COLOR does not count (no-color.org)', true, { NO_COLOR: '' }, true],
    ['a dumb terminal', true, { TERM: 'dumb' }, false],
    ['FORCE_COLOR on a pipe', false, { FORCE_COLOR: '1' }, true],
    ['FORCE_COLOR=0 on a terminal', true, { FORCE_COLOR: '0' }, false],
    ['NO_COLOR over FORCE_COLOR', true, { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
  ])('%s', (_name, isTTY, env, wanted) => expect(wantsColour({ isTTY }, env)).toBe(wanted))
  test('nothing is not painted', () => {
    const style = styleFor({ isTTY: true }, {})
    expect([style.red(''), style.red('x')]).toEqual(['', '\u001b[31mx\u001b[39m'])
  })
})

describe('a table', () => {
  test('aligns its columns and does not pad the last', () => {
    expect(
      table(
        [{ title: 'A' }, { title: 'LONG' }],
        [
          ['x', 'y'],
          ['xxx', ''],
        ],
      ),
    ).toBe('  A    LONG\n  x    y\n  xxx\n')
  })
  test('escapes control characters, and aligns what it shows', () => {
    const text = table(
      [{}, {}],
      [
        ['\u001b[31mred', 'a'],
        ['plain', 'b\nc'],
      ],
    )
    expect(text).toBe('  \\u001b[31mred  a\n  plain          b\\u000ac\n')
  })
  test('paints after padding', () => {
    expect(
      table(
        [{ paint: (cell) => `<${cell}>` }, {}],
        [
          ['a', 'b'],
          ['ccc', 'd'],
        ],
        0,
      ),
    ).toBe('<a  >  b\n<ccc>  d\n')
  })
})

test.each([
  [0, '0 s'],
  [-5000, '0 s'],
  [999, '0 s'],
  [42_000, '42 s'],
  [60_000, '1 min'],
  [250_000, '4 min 10 s'],
  [3_600_000, '1 h'],
  [3_601_000, '1 h'],
  [90_061_000, '1 d 1 h'],
])('%i ms are %s', (ms, text) => expect(span(ms)).toBe(text))

test('moments are in UTC, to the second', () => {
  expect(moment(Date.parse('2026-01-31T13:05:09.999Z'))).toBe('2026-01-31 13:05:09Z')
})

test('one thing has no number', () => {
  expect([count(1, 'problem'), count(2, 'problem'), count(0, 'identity', 'identities')]).toEqual([
    'one problem',
    '2 problems',
    '0 identities',
  ])
})
