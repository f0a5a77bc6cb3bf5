import { expect, it } from 'vitest'
import { unixNodeAttestor } from '../../../../attestors/unix/node.js'

it('a plain machine names its host, the user and the process of the agent', async () => {
  const attestor = unixNodeAttestor({ pid: 42, username: 'icp', hostname: 'web-1' })
  const { signal } = new AbortController()
  expect(await attestor.applies(signal)).toBe(true)
  expect(await attestor.evidence(signal)).toEqual({
    type: 'unix',
    evidence: { pid: 42, username: 'icp', hostname: 'web-1' },
  })
})
