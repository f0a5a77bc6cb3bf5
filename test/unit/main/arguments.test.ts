import { describe, expect, test } from 'vitest'
import { choice, duration, readArguments, wholeNumber } from '../../../agent/main/arguments.js'

const TABLE = {
  config: { type: 'string', short: 'c' },
  output: { type: 'string', short: 'o' },
  verbose: { type: 'boolean', short: 'v' },
} as const

const misused = expect.objectContaining({ code: 'command.misused' })

describe('all ways to write an option mean the same', () => {
  test.each([[['-c', 'x']], [['-cx']], [['--config', 'x']], [['--config=x']]])('%s', (args) =>
    expect(readArguments(args, TABLE).options).toEqual({ config: 'x' }),
  )
})

test('an option that is given twice is refused by its name, unless it may be repeated', () => {
  expect(() => readArguments(['-c', 'a', '--config=b'], TABLE)).toThrow('--config is given twice')
  expect(() => readArguments(['-v', '-v'], TABLE)).toThrow('--verbose is given twice')
  const several = { jwt: { type: 'string', several: true } } as const
  expect(readArguments(['--jwt', 'a', '--jwt=b'], several).options.jwt).toEqual(['a', 'b'])
})

test('a value may begin with a dash when it is written with =', () => {
  expect(readArguments(['--config=-x'], TABLE).options.config).toBe('-x')
  expect(readArguments(['--config', '-'], TABLE).options.config).toBe('-')
})

test('after -- nothing is an option', () => {
  expect(readArguments(['--', '--config'], TABLE, 1).positionals).toEqual(['--config'])
})

describe('refused:', () => {
  test.each([
    ['a missing value', ['--config']],
    ['an empty value', ['--config', '']],
    ['an empty value behind =', ['--config=']],
    ['an empty argument', ['']],
    ['an option in the place of a value', ['--config', '--verbose']],
    ['a value for a switch', ['--verbose=yes']],
    ['an unknown option', ['--frob']],
    ['an unknown short option', ['-x']],
    ['a name that objects have anyway', ['--constructor']],
    ['an argument too many', ['x']],
  ])('%s', (_name, args) => expect(() => readArguments(args, TABLE)).toThrow(misused))
})

test('an unknown option names the nearest', () => {
  expect(() => readArguments(['--confg=x'], TABLE)).toThrow('--config')
})

test('a choice is one of its words, the first by default', () => {
  expect(choice(undefined, ['pretty', 'json'], '-o')).toBe('pretty')
  expect(choice('json', ['pretty', 'json'], '-o')).toBe('json')
  expect(() => choice('yaml', ['pretty', 'json'], '-o')).toThrow(misused)
})

test('a duration has a unit, or counts seconds', () => {
  expect(duration(undefined, 7, '--timeout')).toBe(7)
  expect(duration('1m', 7, '--timeout')).toBe(60_000)
  expect(duration('2', 7, '--timeout')).toBe(2000)
  for (const wrong of ['0', 'soon', '-1', '']) expect(() => duration(wrong, 7, '--timeout')).toThrow(misused)
})

test('a number is whole and in its range', () => {
  expect(wholeNumber('1', [1, 9], '--pid')).toBe(1)
  expect(wholeNumber('9', [1, 9], '--pid')).toBe(9)
  for (const wrong of ['0', '10', '-1', '1.5', '1e0', '0x1', ' 1', '', 'x']) {
    expect(() => wholeNumber(wrong, [1, 9], '--pid')).toThrow('--pid must be a number from 1 to 9')
  }
})
