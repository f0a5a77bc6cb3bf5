import { describe, expect, it } from 'vitest'
import { AgentError, codeOf } from '../../../agent/errors.js'
import { createCommonName } from '../../../agent/icp/common-name.js'

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
      new AgentError('icp.rate_limited', 'slow'),
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
