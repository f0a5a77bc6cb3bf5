import { describe, expect, it } from 'vitest'
import { type Placed, Places } from '../../../../attestors/unix/places.js'

type One = Placed & { readonly name: string }

const one = (subject: string, name = subject, more: Partial<Placed> = {}): One => ({
  subject,
  name,
  wanted: true,
  leaving: false,
  ...more,
})
const many = (subject: string, count: number, more: Partial<Placed> = {}) =>
  Array.from({ length: count }, (_, i) => one(subject, `${subject}${i}`, more))

function setting(taken: readonly One[], waiting: readonly One[]) {
  const places = new Places<One>(() => taken)
  for (const each of waiting) places.waiting.add(each)
  return places
}

describe('places', () => {
  it('are sixteen', () => {
    expect(setting(many('a', 15), [one('b')]).next()?.name).toBe('b')
    expect(setting(many('a', 16), [one('b')]).next()).toBeUndefined()
  })

  it('that are free go to the subject that has the fewest', () => {
    expect(setting([...many('a', 8), one('b')], [one('a'), one('b')]).next()?.subject).toBe('b')
  })

  it.each<[string, readonly One[], readonly One[], string | undefined]>([
    ['nobody, while nobody waits', many('a', 16, { wanted: false }), [], undefined],
    [
      'what came last of who has the most, for one that has none',
      [...many('a', 10), ...many('b', 6)],
      [one('c')],
      'a9',
    ],
    ['nobody, for a subject that has one', [...many('a', 15), one('b')], [one('b')], undefined],
    ['nobody, where nobody has two', many('', 16).map(({ name }) => one(name)), [one('c')], undefined],
    [
      'nobody, while another one is leaving',
      [...many('a', 15), one('a', 'x', { leaving: true })],
      [one('b')],
      undefined,
    ],
    [
      'what nobody waits for, rather than what is wanted of who has the most',
      [...many('a', 15), one('b', 'idle', { wanted: false })],
      [one('c')],
      'idle',
    ],
    [
      "a subject's own that it does not wait for, for another that it does",
      [...many('a', 15), one('b', 'idle', { wanted: false })],
      [one('b', 'new')],
      'idle',
    ],
  ])('are given up at once by %s', (_who, taken, waiting, expected) => {
    expect(setting(taken, waiting).displaced()?.name).toBe(expected)
  })

  it.each<[string, readonly One[], readonly One[], boolean]>([
    ['kept while nobody waits', many('a', 16), [], false],
    ['given up for another of the same subject', many('a', 16), [one('a')], true],
    ['given up for a subject that has none', many('a', 16), [one('b')], true],
    ['given up for a subject that has as many', [...many('a', 8), ...many('b', 8)], [one('b')], true],
    ['kept from a subject that has more', [...many('a', 7), ...many('b', 9)], [one('b')], false],
    ['kept while as many are leaving as wait', [one('a'), ...many('a', 2, { leaving: true })], many('b', 2), false],
    ['given up when more wait than are leaving', [one('a'), ...many('a', 2, { leaving: true })], many('b', 3), true],
  ])('are, after a mebibyte, %s', (_what, taken, waiting, expected) => {
    const [first = one('a')] = taken
    expect(setting(taken, waiting).hasHadItsTurn(first)).toBe(expected)
  })

  it('are not given up twice', () => {
    const leaving = one('a', 'x', { leaving: true })
    expect(setting([leaving, ...many('a', 15)], many('a', 5)).hasHadItsTurn(leaving)).toBe(false)
  })

  it('are kept for one of each subject that it does not wait for any more', () => {
    const taken = [one('a'), ...many('b', 2, { wanted: false }), ...many('a', 3, { wanted: false })]
    const places = setting(taken, [])
    expect(['a', 'b', 'c'].map((subject) => places.idle(subject).map(({ name }) => name))).toEqual([
      ['a1', 'a2'],
      ['b1'],
      [],
    ])
  })
})
