import { expect, it } from 'vitest'
import { joinTokenNodeAttestor } from '../../../../attestors/join-token/node.js'

it('a node that attests by its join token says nothing of itself, but sends an object', async () => {
  const attestor = joinTokenNodeAttestor()
  const { signal } = new AbortController()
  expect(await attestor.applies(signal)).toBe(false)
  expect(await attestor.evidence(signal)).toEqual({ type: 'join_token', evidence: {} })
})
