import { describe, expect, it } from 'vitest'
import { type Claim, firstProcess, holds } from '../../../../attestors/docker/claim.js'

const ID = 'a5'.repeat(32)
const PATH = `/docker/${ID}`
const claim = (over: Partial<Claim> = {}): Claim => ({
  containerId: ID,
  places: [{ hierarchy: '', path: PATH }],
  rootMount: null,
  doubtful: false,
  ...over,
})

describe('a claim to be in a container', () => {
  it.each([
    ['in the same group', PATH, true],
    ['in a group below', `${PATH}/init.scope`, true],
    ['in a group whose name only begins so', `${PATH}-other`, false],
    ['in the group above', '/docker', false],
    ['in a group of that name elsewhere', `/batch/${ID}`, false],
    ['nowhere', '/', false],
  ])('with the first process %s', (_where, path, is) => {
    expect(holds(claim(), firstProcess(`0::${path}\n`, ''))).toBe(is)
  })

  it('holds in every hierarchy that names the container, or not at all', () => {
    const places = ['memory', 'pids'].map((hierarchy) => ({ hierarchy, path: PATH }))
    expect(holds(claim({ places }), firstProcess(`4:memory:${PATH}\n3:pids:${PATH}\n0::/\n`, ''))).toBe(true)
    expect(holds(claim({ places }), firstProcess(`4:memory:${PATH}\n3:pids:/\n`, ''))).toBe(false)
    expect(holds(claim({ places }), firstProcess(`4:memory:${PATH}\n`, ''))).toBe(false)
  })

  it('without a place is none', () => {
    expect(holds(claim({ places: [] }), firstProcess(`0::${PATH}\n`, ''))).toBe(false)
  })

  it('by mounts holds only where the root mount is the same', () => {
    const first = firstProcess('0::/\n', '72 42 0:44 / / rw - overlay overlay rw\n')
    expect(holds(claim({ places: [], rootMount: '72' }), first)).toBe(true)
    expect(holds(claim({ places: [], rootMount: '73' }), first)).toBe(false)
    expect(holds(claim({ places: [], rootMount: '72' }), firstProcess('0::/\n', ''))).toBe(false)
  })
})
