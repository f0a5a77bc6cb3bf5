import { expect, it } from 'vitest'
import { MetricsToken } from '../../../agent/observability/metrics-token.js'

const PATH = '/etc/icp-agent/metrics-token'

function world(content: string | null) {
  const state = { content, reads: 0, time: 0, troubles: [] as unknown[] }
  const files = {
    read: async () => {
      state.reads++
      return state.content === null ? null : Buffer.from(state.content)
    },
  }
  const said = {
    failed: (error: unknown) => state.troubles.push(error),
    succeeded: () => undefined,
    trouble: null,
  }
  const token = new MetricsToken({ path: PATH, files, clock: { monotonic: () => state.time }, recurring: said })
  return { state, asks: async (header?: string) => (await token.refusal(header))?.code ?? 200 }
}

it('lets in who has the token, and nobody else', async () => {
  const { asks } = world('s3cret\n')
  expect(await asks('Bearer s3cret')).toBe(200)
  expect(await asks('bearer  s3cret ')).toBe(200)
  for (const wrong of ['s3cre', 's3crets', 'S3CRET', 'x'.repeat(8000)]) expect(await asks(`Bearer ${wrong}`)).toBe(403)
  for (const other of [undefined, '', 'Bearer', 'Bearer ', 'Basic s3cret', 's3cret', 'Bearer a b']) {
    expect([other, await asks(other)]).toEqual([other, 401])
  }
})

it('uses a replaced file within a second, and reads it no more often however many ask', async () => {
  const { state, asks } = world('one')
  for (let i = 0; i < 100; i++) await asks('Bearer guess')
  expect(state.reads).toBe(1)
  state.content = 'two'
  expect(await asks('Bearer two')).toBe(403)
  state.time = 1000
  expect([await asks('Bearer two'), await asks('Bearer one'), state.reads]).toEqual([200, 403, 2])
})

it.each([
  ['is missing', null],
  ['is empty', ' \n'],
  ['holds several words', 'one two'],
])('lets in nobody where the file %s, also after there was one', async (_, content) => {
  const { state, asks } = world('one')
  expect(await asks('Bearer one')).toBe(200)
  state.content = content
  state.time = 5000
  expect([await asks('Bearer one'), await asks('Bearer '), await asks()]).toEqual([503, 401, 401])
  expect(String(state.troubles[0])).toContain(PATH)
  expect(String(state.troubles[0])).not.toContain('two')
})

it('reads nothing for a request without a token', async () => {
  const { state, asks } = world('one')
  await asks()
  expect(state.reads).toBe(0)
})
