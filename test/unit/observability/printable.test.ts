import { expect, test } from 'vitest'
import { printable } from '../../../agent/observability/printable.js'

test.each([
  ['plain text, umlauts, emoji and CJK stay', 'aü😀中 /:=', 'aü😀中 /:='],
  ['an escape sequence', '\u001b[31m', '\\u001b[31m'],
  ['a line break and a tab', 'a\r\n\tb', 'a\\u000d\\u000a\\u0009b'],
  ['an 8-bit control sequence', '\u009b2J', '\\u009b2J'],
  ['DEL', '\u007f', '\\u007f'],
  ['a reversed reading direction', 'a\u202eb', 'a\\u202eb'],
  ['a zero-width space', 'a\u200bb', 'a\\u200bb'],
  ['half of a surrogate pair', 'a\ud83d', 'a\\ud83d'],
  ['the other half', '\ude00a', '\\ude00a'],
])('%s', (_, text, expected) => {
  expect(printable(text)).toBe(expected)
})
