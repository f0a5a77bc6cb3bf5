import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDuration, parseDuration } from '../../../agent/config/duration.js'
import { formatSize, parseSize } from '../../../agent/config/size.js'

fc.configureGlobal({ seed: 1 })

describe('durations', () => {
  test.each([
    ['30s', 30_000],
    ['15m', 900_000],
    ['6h', 21_600_000],
    ['1d', 86_400_000],
    ['500ms', 500],
    ['0s', 0],
    ['1.5h', 5_400_000],
  ])('%s is %i ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  test.each([
    '',
    '30',
    's',
    '-1s',
    '1w',
    '6H',
    '1h30m',
    '1 h',
    '0x10s',
    '1e3s',
    '.5s',
    '1.s',
    'Infinityh',
    '999999999999d',
    '１s',
  ])('%j is no duration', (text) => {
    expect(parseDuration(text)).toBeNull()
  })

  test('a number without a unit is seconds only where it is allowed', () => {
    expect(parseDuration('30', { plainSeconds: true })).toBe(30_000)
    expect(parseDuration('2.5', { plainSeconds: true })).toBe(2500)
    expect(parseDuration('-1', { plainSeconds: true })).toBeNull()
    expect(parseDuration('30')).toBeNull()
  })

  test('what is formatted is read back exactly', () => {
    fc.assert(fc.property(fc.nat({ max: 400 * 86_400_000 }), (ms) => parseDuration(formatDuration(ms)) === ms))
    expect(formatDuration(21_600_000)).toBe('6h')
    expect(formatDuration(90_000)).toBe('90s')
  })

  test('any text is a finite number of milliseconds or nothing', () => {
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (text, plainSeconds) => {
        const ms = parseDuration(text, { plainSeconds })
        return ms === null || (Number.isSafeInteger(ms) && ms >= 0)
      }),
    )
  })
})

describe('sizes', () => {
  test.each([
    ['65536', 65_536],
    ['64KiB', 65_536],
    ['64 KiB', 65_536],
    ['512MiB', 536_870_912],
    ['1GiB', 1_073_741_824],
    ['0', 0],
    ['7B', 7],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes)
  })

  test.each(['', '64KB', '64kib', '1.5MiB', '-1', '1TiB', '999999999999999GiB'])('%j is no size', (text) => {
    expect(parseSize(text)).toBeNull()
  })

  test('what is formatted is read back exactly', () => {
    fc.assert(fc.property(fc.nat(), (bytes) => parseSize(formatSize(bytes)) === bytes))
  })
})
