import { describe, expect, it } from 'vitest'
import { openFileLimit, shareOut } from '../../../agent/platform/open-files.js'

const HEAD = 'Limit                     Soft Limit           Hard Limit           Units     \n'

describe('open files', () => {
  it.each([
    ['a number', 'Max open files            1024                 524288               files     \n', 1024],
    ['none', 'Max open files            unlimited            unlimited            files     \n', null],
    ['not said', '', null],
  ])('are limited by %s', (_name, line, limit) => {
    expect(openFileLimit(HEAD + line)).toBe(limit)
  })

  it('of this process are limited, or not, as the kernel says', () => {
    expect(openFileLimit()).toSatisfy((limit) => limit === null || (typeof limit === 'number' && limit > 0))
  })

  it.each([
    [65_536, 4096, false],
    [1_048_576, 4096, false],
    [4096, 832, true],
    [1024, 160, true],
    [100, 9, true],
  ])('of which there are %i allow %i of 4096 connections', (limit, connections, short) => {
    expect(shareOut(limit, 4096)).toMatchObject({ limit, connections, short })
  })

  it.each([400, 1024, 4096, 20_000, 65_536])('are never all taken by callers, of %i', (limit) => {
    const { connections, lingering } = shareOut(limit, 100_000)
    expect(4 * connections + 2 * lingering).toBeLessThanOrEqual(limit - Math.min(256, limit / 2))
  })

  it('without a limit allow what the configuration does', () => {
    expect(shareOut(null, 4096)).toMatchObject({ connections: 4096, short: false })
  })
})
