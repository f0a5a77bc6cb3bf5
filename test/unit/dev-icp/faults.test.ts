import { describe, expect, test } from 'vitest'
import { ZodError } from 'zod'
import { Faults, findFault, type Target } from '../../../dev/icp-server/faults.js'

const at = (pattern: string, change: Partial<Target> = {}): Target => ({
  pattern,
  path: pattern,
  administration: false,
  withCertificate: false,
  ...change,
})
const kinds = (faults: Faults, target: Target) => faults.strike(target).map(({ kind }) => kind)

describe('faults', () => {
  test('of several kinds strike together', () => {
    const faults = new Faults()
    faults.add({ kind: 'latency', ms: 5 })
    faults.add({ kind: 'clock-offset', seconds: 3 })
    const struck = faults.strike(at('/health'))
    expect(findFault(struck, 'latency')?.ms).toBe(5)
    expect(findFault(struck, 'clock-offset')?.seconds).toBe(3)
    expect(findFault(struck, 'drop')).toBeNull()
  })

  test('that concern an answer wait for a request to which they mean something', () => {
    const faults = new Faults()
    faults.add({ kind: 'certificate', flaw: 'expired', times: 1 })
    expect(kinds(faults, at('/v1/entries/by-parent'))).toEqual([])
    expect(kinds(faults, at('/v1/workload/attest'))).toEqual(['certificate'])
    expect(kinds(faults, at('/v1/workload/attest'))).toEqual([])
  })

  test('count down for themselves', () => {
    const faults = new Faults()
    faults.add({ kind: 'drop', times: 2 })
    faults.add({ kind: 'html', times: 1 })
    faults.strike(at('/health'))
    expect(faults.list()).toMatchObject([{ kind: 'drop', times: 1 }])
  })

  test('strike a path that no route knows', () => {
    const faults = new Faults()
    faults.add({ kind: 'status', endpoint: '/nowhere' })
    expect(kinds(faults, at('/nowhere', { pattern: null }))).toEqual(['status'])
    faults.clear()
    faults.add({ kind: 'ca-away' })
    expect(kinds(faults, at('/nowhere', { pattern: null }))).toEqual([])
  })

  test.each([{ kind: 'rain' }, { kind: 'latency' }, { kind: 'drop', times: 0 }, { kind: 'certificate', flaw: 'x' }, 7])(
    '%j is none',
    (request) => {
      expect(() => new Faults().add(request)).toThrow(ZodError)
    },
  )
})
