import { describe, expect, it } from 'vitest'
import { Turns } from '../../../../attestors/unix/turns.js'

const item = (uid: number, name = '') => ({ uid, name })

describe('turns', () => {
  it('go round the users, and within one by age', () => {
    const turns = new Turns<{ uid: number; name: string }>()
    for (const [uid, name] of [
      [1, 'a'],
      [1, 'b'],
      [1, 'c'],
      [2, 'd'],
      [3, 'e'],
      [2, 'f'],
    ] as const) {
      turns.add(item(uid, name))
    }
    const order: (string | undefined)[] = []
    for (let i = 0; i < 7; i++) order.push(turns.next(() => 0)?.name)
    expect(order).toEqual(['a', 'd', 'e', 'b', 'f', 'c', undefined])
  })

  it('belong first to the user who has the fewest places', () => {
    const turns = new Turns<{ uid: number }>()
    for (const uid of [1, 2, 3]) turns.add(item(uid))
    const places: Record<number, number> = { 1: 2, 2: 1, 3: 0 }
    expect([1, 2, 3].map(() => turns.next((uid) => places[uid] ?? 0)?.uid)).toEqual([3, 2, 1])
  })

  it('of what was taken away are over', () => {
    const turns = new Turns<{ uid: number }>()
    const [one, other] = [item(1), item(2)]
    turns.add(one)
    turns.add(other)
    expect([turns.delete(one), turns.delete(one)]).toEqual([true, false])
    expect([...turns.users]).toEqual([2])
    expect(turns.drain()).toEqual([other])
    expect(turns.next(() => 0)).toBeUndefined()
  })
})
