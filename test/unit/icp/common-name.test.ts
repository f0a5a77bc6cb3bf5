import { createPublicKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { AgentError, codeOf } from '../../../agent/errors.js'
import { commonNameOf, createCommonName, workloadCommonName } from '../../../agent/icp/common-name.js'
import { TestCa } from '../../fakes/ca.js'
import { FakeClock } from '../../fakes/clock.js'
import { rsaKey } from '../../fakes/keys.js'

const refused = new AgentError('icp.cn_refused', 'not allowed', { details: { status: 500 } })
const failed = new AgentError('icp.server_error', 'oops', { details: { status: 500 } })

/** A PKI that takes the given names only. */
function pki(taken: readonly string[], error: AgentError = failed) {
  const asked: string[] = []
  const issue = async (commonName: string) => {
    asked.push(commonName)
    if (!taken.includes(commonName)) throw error
    return commonName
  }
  return { asked, issue, taken }
}

describe('the common name of a CSR', () => {
  it('is svid@localhost first, then none, then localhost', async () => {
    const { asked, issue } = pki(['localhost'])
    expect(await createCommonName({ mode: 'auto' })(issue)).toBe('localhost')
    expect(asked).toEqual(['svid@localhost', '', 'localhost'])
  })

  it('that has worked is the first from then on', async () => {
    const withName = createCommonName({ mode: 'auto' })
    const { asked, issue } = pki([''])
    await withName(issue)
    await withName(issue)
    expect(asked).toEqual(['svid@localhost', '', ''])
  })

  it('is tried once with a join token, which a second attempt could not use', async () => {
    const { asked, issue } = pki(['localhost'])
    await expect(createCommonName({ mode: 'auto' })(issue, { joinToken: true })).rejects.toBe(failed)
    expect(asked).toEqual(['svid@localhost'])
  })

  it('that is known to work is used with a join token', async () => {
    const withName = createCommonName({ mode: 'auto' })
    await withName(pki(['localhost']).issue)
    const { asked, issue } = pki(['localhost'])
    await withName(issue, { joinToken: true })
    expect(asked).toEqual(['localhost'])
  })

  it('is also doubted where the server wraps what its CA says into a 400', async () => {
    const wrapped = new AgentError('icp.server_error', 'failed to issue', { details: { status: 400 } })
    const { asked, issue } = pki([''], wrapped)
    expect(await createCommonName({ mode: 'auto' })(issue)).toBe('')
    expect(asked).toEqual(['svid@localhost', ''])
  })

  it('is not blamed for other failures', async () => {
    for (const error of [
      new AgentError('icp.server_error', 'CA away', { details: { status: 503 } }),
      new AgentError('icp.rate_limited', 'slow', { details: { tier: 'standard', retryAfterMs: 60_000 } }),
      new AgentError('icp.no_match', 'none'),
    ]) {
      const { asked, issue } = pki([], error)
      await expect(createCommonName({ mode: 'auto' })(issue)).rejects.toBe(error)
      expect(asked).toHaveLength(1)
    }
  })

  it('that has worked is doubted after three answers 500 in a row, or at once when it is named as the reason', async () => {
    const withName = createCommonName({ mode: 'auto' })
    await withName(pki(['svid@localhost']).issue)
    const broken = pki(['localhost'])
    for (let i = 0; i < 2; i++) await expect(withName(broken.issue)).rejects.toBe(failed)
    expect(broken.asked).toEqual(['svid@localhost', 'svid@localhost'])
    expect(await withName(broken.issue)).toBe('localhost')
    const strict = pki([''], refused)
    expect(await withName(strict.issue)).toBe('')
  })

  it('that no candidate satisfies ends with the clearest reason', async () => {
    let calls = 0
    const attempt = async () => {
      throw calls++ === 1 ? refused : failed
    }
    expect(codeOf(await createCommonName({ mode: 'auto' })(attempt).catch((error: unknown) => error))).toBe(
      'icp.cn_refused',
    )
    expect(calls).toBe(3)
  })

  it('that is set is used alone', async () => {
    const { asked, issue } = pki([])
    await expect(createCommonName({ mode: 'text', text: 'node.example' })(issue)).rejects.toBe(failed)
    await expect(createCommonName({ mode: 'empty' })(issue)).rejects.toBe(failed)
    expect(asked).toEqual(['node.example', ''])
  })
})

describe('the common name for workloads', () => {
  function world(own: string | null = null) {
    const clock = new FakeClock()
    return { clock, name: workloadCommonName({ mode: 'auto' }, { clock, own: () => own }) }
  }
  const never = pki([])
  const asks = async ({ name }: ReturnType<typeof world>, entryId: string, issue = never.issue) =>
    name.run(issue, { entryId }).catch(() => null)

  it('is first that of the agent’s own certificate', async () => {
    const { asked, issue } = pki(['localhost'])
    const { name } = world('localhost')
    await name.run(issue, { entryId: 'a' })
    expect(asked).toEqual(['localhost'])
    expect(name.proven()).toBe('localhost')
  })

  it('is looked for by one entry in half an hour, while none is known to work', async () => {
    const there = world('')
    const { asked, issue } = pki([])
    for (let minutes = 0; minutes < 60; minutes++) {
      for (const id of ['a', 'b', 'c']) await asks(there, id, issue)
      await there.clock.advance('1m')
    }
    expect(asked.filter((name) => name === '')).toHaveLength(180)
    expect(asked.filter((name) => name !== '')).toHaveLength(4)
  })

  it('is looked for by another entry the next time: the first may be one that is never issued', async () => {
    const there = world()
    const never = pki([])
    await asks(there, 'never', never.issue)
    await there.clock.advance('30m')
    await asks(there, 'never', never.issue)
    expect(never.asked).toHaveLength(3 + 1)
    expect(await asks(there, 'fine', pki(['']).issue)).toBe('')
    const alone = world()
    for (let tries = 0; tries < 3; tries++) {
      await asks(alone, 'never', never.issue)
      await alone.clock.advance('30m')
    }
    expect(never.asked).toHaveLength(4 + 3 + 1 + 3)
  })

  it('that has worked stays it, however often another entry fails in between', async () => {
    const there = world()
    await asks(there, 'fine', pki(['svid@localhost']).issue)
    const { asked, issue } = pki([])
    for (let i = 0; i < 50; i++) {
      await asks(there, 'never', issue)
      if (i % 2 === 1) await asks(there, 'fine', pki(['svid@localhost']).issue)
    }
    expect(new Set(asked)).toEqual(new Set(['svid@localhost']))
  })

  it('outlives a restart, unless it is none that is tried', async () => {
    const { name } = world('localhost')
    name.restore('elsewhere.example')
    name.restore(null)
    expect(name.proven()).toBeNull()
    name.restore('')
    const { asked, issue } = pki([''])
    await name.run(issue, { entryId: 'a' })
    expect(asked).toEqual([''])
  })

  it.each([
    ['svid@localhost', 'svid@localhost'],
    ['localhost', 'localhost'],
    ['spiffe://example.org/agent/n', ''],
  ])('is read from a certificate: %s', async (subject, expected) => {
    const ca = await TestCa.create('CA', { notBefore: 0, notAfter: Date.parse('2036-01-01') })
    const der = await ca.issue(createPublicKey(await rsaKey()), {
      subject,
      names: [{ type: 'url', value: 'spiffe://example.org/agent/n' }],
      notBefore: 0,
      notAfter: Date.parse('2035-01-01'),
    })
    expect(commonNameOf(der)).toBe(expected)
  })
})
