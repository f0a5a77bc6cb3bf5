import { describe, expect, test } from 'vitest'
import { type LazyRow, PAGE, type Page, pageOfRows } from '../../../agent/admin/page.js'
import { FakeClock } from '../../fakes/clock.js'

function setUp(count: number, keep: (n: number) => boolean = () => true) {
  const clock = new FakeClock()
  let [made, turns, mostInATurn, inTurn] = [0, 0, 0, 0]
  const rows: LazyRow<number>[] = Array.from({ length: count }, (_, n) => ({
    key: String(n).padStart(8, '0'),
    make: () => {
      made++
      mostInATurn = Math.max(mostInATurn, ++inTurn)
      return keep(n) ? n : null
    },
  }))
  const turn = async () => {
    turns++
    inTurn = 0
  }
  const page = (query: Record<string, string> = {}) => {
    // Each request is a turn of its own.
    inTurn = 0
    return pageOfRows(rows, query, { clock, turn })
  }
  return { page, rows, counts: () => ({ made, turns, mostInATurn }) }
}

async function all(page: (query: Record<string, string>) => Promise<Page<number>>, more: Record<string, string> = {}) {
  const found: number[] = []
  let pages = 0
  for (let after = ''; ; ) {
    const { rows, next } = await page({ ...more, after })
    found.push(...rows)
    pages++
    if (next === null) return { found, pages }
    after = next
  }
}

describe('a page', () => {
  test('of 10,000 rows has 500, and all pages have each row once, in order', async () => {
    const { page, counts } = setUp(10_000)
    const { found, pages } = await all(page)
    expect(pages).toBe(20)
    expect(found).toEqual(Array.from({ length: 10_000 }, (_, n) => n))
    expect(counts().mostInATurn).toBe(PAGE)
  })

  test('with a filter that nothing passes gives others a turn after every 500 rows', async () => {
    const { page, counts } = setUp(10_000, () => false)
    expect(await page()).toMatchObject({ rows: [], next: null, total: 10_000 })
    expect(counts()).toEqual({ made: 10_000, turns: 20, mostInATurn: PAGE })
  })

  test('goes on behind a row that is gone by then', async () => {
    const { page, rows } = setUp(10)
    const { next } = await page({ limit: '3' })
    rows.splice(2, 1)
    expect((await page({ limit: '3', after: next ?? '' })).rows).toEqual([3, 4, 5])
  })

  test('of the exact length has no next one', async () => {
    const { page } = setUp(PAGE)
    expect(await page()).toMatchObject({ next: null })
    expect((await page({ limit: '500' })).rows).toHaveLength(PAGE)
  })

  test.each(['0', '501', '-1', '1e2', 'all', ''])('of %j rows is refused', async (limit) => {
    await expect(setUp(1).page({ limit })).rejects.toMatchObject({ code: 'request.invalid' })
  })

  test.each(['%%%', '_', 'AAAA', 'zzzzzzzzzzzzzzzzzzz'])(
    'after %j, which no page named, is one all the same',
    async (after) => {
      const { rows } = await setUp(3).page({ after })
      expect(rows.length).toBeLessThanOrEqual(3)
    },
  )
})
