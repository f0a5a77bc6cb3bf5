import { describe, expect, it } from 'vitest'
import { Turns } from '../../../../attestors/unix/turns.js'

const item = (subject: string, name = '') => ({ subject, name })

describe('turns', () => {
  it('go round the subjects, and within one by age', () => {
    const turns = new Turns<{ subject: string; name: string }>()
    for (const [subject, name] of [
      ['uid:1', 'a'],
      ['uid:1', 'b'],
      ['uid:1', 'c'],
      ['uid:2', 'd'],
      ['uid:3', 'e'],
      ['uid:2', 'f'],
    ] as const) {
      turns.add(item(subject, name))
    }
    const order: (string | undefined)[] = []
    for (let i = 0; i < 7; i++) order.push(turns.next(() => 0)?.name)
    expect(order).toEqual(['a', 'd', 'e', 'b', 'f', 'c', undefined])
  })

  it('belong first to the subject that has the fewest places', () => {
    const turns = new Turns<{ subject: string }>()
    for (const subject of ['a', 'b', 'c']) turns.add(item(subject))
    const places: Record<string, number> = { a: 2, b: 1, c: 0 }
    expect([1, 2, 3].map(() => turns.next((subject) => places[subject] ?? 0)?.subject)).toEqual(['c', 'b', 'a'])
  })

  it('of what was taken away are over', () => {
    const turns = new Turns<{ subject: string }>()
    const [one, other] = [item('a'), item('b')]
    turns.add(one)
    turns.add(other)
    expect(turns.size).toBe(2)
    expect([turns.delete(one), turns.delete(one)]).toEqual([true, false])
    expect(turns.size).toBe(1)
    expect([...turns.subjects]).toEqual(['b'])
    expect(turns.drain()).toEqual([other])
    expect(turns.next(() => 0)).toBeUndefined()
  })
})
