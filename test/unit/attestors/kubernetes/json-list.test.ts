import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JsonList } from '../../../../attestors/kubernetes/json-list.js'

/** Feeds the text in pieces of so many bytes. */
function read(text: string, bytes = 7, maxItemBytes = 1_000_000) {
  const items: unknown[] = []
  const list = new JsonList((item) => items.push(item), maxItemBytes)
  const all = Buffer.from(text)
  for (let at = 0; at < all.length; at += bytes) list.push(all.subarray(at, at + bytes))
  return { items, rest: list.end() }
}
const code = (work: () => unknown) => {
  try {
    work()
  } catch (error) {
    return (error as { code?: string }).code
  }
  return 'no error'
}

describe('a list that arrives in pieces', () => {
  it('gives each item, and the rest without them', () => {
    const { items, rest } = read(
      '{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[{"a":1},{"b":[2,{}]}],"x":1}',
    )
    expect(items).toEqual([{ a: 1 }, { b: [2, {}] }])
    expect(rest).toEqual({ kind: 'PodList', metadata: { resourceVersion: '7' }, items: [], x: 1 })
  })

  it.each([
    ['no items', '{"kind":"PodList","items":[]}', []],
    ['null for items', '{"items":null}', []],
    ['white space between', '{ "items" :\n [ {"a":1} ,\n {"b":2} ] }', [{ a: 1 }, { b: 2 }]],
    ['items before the rest', '{"items":[{"a":1}],"metadata":{}}', [{ a: 1 }]],
    ['brackets and quotes in texts', '{"items":[{"a":"]}\\"[{"},{"b":"\\\\"}]}', [{ a: ']}"[{' }, { b: '\\' }]],
    ['items inside of items', '{"items":[{"items":[{"a":1}]}]}', [{ items: [{ a: 1 }] }]],
    ['another list before', '{"others":[{"a":1}],"items":[{"b":2}]}', [{ b: 2 }]],
    ['a text that looks like items', '{"x":"\\"items\\":","y":[{"a":1}],"items":[{"b":2}]}', [{ b: 2 }]],
    ['items below the top', '{"metadata":{"items":[{"a":1}]},"items":[]}', []],
  ])('with %s', (_what, text, expected) => {
    for (const bytes of [1, 2, 3, 1000]) expect(read(text, bytes).items).toEqual(expected)
  })

  it('is the same as parsing it whole, whatever the objects and the pieces', () => {
    const value = fc.object({ withNullPrototype: false, maxDepth: 3 })
    fc.assert(
      fc.property(
        fc.array(value),
        value,
        fc.integer({ min: 1, max: 50 }),
        fc.boolean(),
        (items, rest, bytes, pretty) => {
          const { items: _other, ...head } = rest
          const text = JSON.stringify({ ...head, items }, null, pretty ? 2 : undefined)
          const whole = JSON.parse(text) as { items: unknown[] }
          expect(read(text, bytes)).toEqual({ items: whole.items, rest: { ...whole, items: [] } })
        },
      ),
    )
  })

  it.each(['', '{"items":[{"a":1}', '{"items":[{"a":', 'nonsense', '<html lang="en">', '{"items":[{"a":nothing}]}'])(
    'that is broken is refused: %j',
    (text) => {
      expect(code(() => read(text))).toBe('platform.unavailable')
    },
  )

  it('with an item that is too large is refused before the item is complete', () => {
    const list = new JsonList(() => {}, 1_000)
    list.push(Buffer.from('{"items":[{"a":"'))
    expect(code(() => list.push(Buffer.alloc(2_000, 'x')))).toBe('platform.unavailable')
  })

  it('that is no list but large is refused', () => {
    const list = new JsonList(() => {}, 1_000)
    expect(code(() => list.push(Buffer.alloc(300_000, 'x')))).toBe('platform.unavailable')
  })

  it('keeps nothing of a chunk that is used again', () => {
    const items: unknown[] = []
    const list = new JsonList((item) => items.push(item), 1_000)
    const chunk = Buffer.from('{"items":[{"a":"b')
    list.push(chunk)
    chunk.fill('z')
    list.push(Buffer.from('c"}]}'))
    expect(items).toEqual([{ a: 'bc' }])
    expect(list.end()).toEqual({ items: [] })
  })
})
