import { expect, test } from 'vitest'
import { AgentError, type ErrorCode } from '../../../agent/errors.js'
import { Contact } from '../../../agent/icp/contact.js'
import { FakeClock } from '../../fakes/clock.js'

const failure = (code: ErrorCode) => new AgentError(code, 'no')

test('a server that did not answer and does again is told once; a refusal is an answer', () => {
  const contact = new Contact(new FakeClock())
  let returns = 0
  using _watch = contact.onReturn(() => returns++)
  contact.answered()
  contact.failed(failure('icp.unreachable'))
  contact.failed(failure('icp.timeout'))
  expect(returns).toBe(0)
  contact.failed(failure('icp.forbidden'))
  contact.answered()
  expect(returns).toBe(1)
})

test('a bad answer is an answer: what comes after it is no return', () => {
  const contact = new Contact(new FakeClock())
  let returns = 0
  using _watch = contact.onReturn(() => returns++)
  contact.failed(failure('icp.server_error'))
  contact.answered()
  expect(returns).toBe(0)
})

test.each<ErrorCode>(['icp.server_error', 'icp.bad_response', 'icp.too_large'])(
  '%s is trouble, since no answer can be used',
  (code) => {
    const contact = new Contact(new FakeClock())
    contact.failed(failure(code))
    expect(contact.trouble?.code).toBe(code)
    expect(contact.reachedAt).toBeNull()
  },
)

test.each<ErrorCode>(['icp.no_bundle', 'icp.svid_unknown'])('%s is no trouble: the server is there', (code) => {
  const contact = new Contact(new FakeClock())
  contact.failed(failure('icp.unreachable'))
  contact.failed(failure(code))
  expect(contact.trouble).toBeNull()
  expect(contact.reachedAt).not.toBeNull()
})

test('trouble keeps the time of its begin', async () => {
  const clock = new FakeClock()
  const contact = new Contact(clock)
  const began = clock.now()
  contact.failed(failure('icp.unreachable'))
  await clock.advance('1m')
  contact.failed(failure('icp.tls'))
  expect(contact.trouble).toMatchObject({ code: 'icp.tls', since: began })
  contact.answered()
  expect(contact.trouble).toBeNull()
  expect(contact.reachedAt).toBe(clock.now())
})
