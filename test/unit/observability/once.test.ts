import { expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { sayOnce } from '../../../agent/observability/once.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'

function setup() {
  const { log, lines } = new RecordedSinks()
  const clock = new FakeClock()
  return {
    clock,
    lines,
    once: sayOnce(log, clock, { failing: 'Bundle poll failed', recovered: 'Bundle poll works again' }),
  }
}
const timeout = new AgentError('icp.timeout', 'no answer')

test('a repeating failure is a warning once, then debug, then one info line with its duration', async () => {
  const { clock, lines, once } = setup()
  once.failed(timeout)
  await clock.advance('10s')
  once.failed(timeout)
  await clock.advance('20s')
  once.succeeded()
  once.succeeded()
  expect(lines.map((line) => [line.level, line.event])).toEqual([
    ['warn', 'Bundle poll failed'],
    ['debug', 'Bundle poll failed'],
    ['info', 'Bundle poll works again'],
  ])
  expect(lines[2]?.fields).toEqual({ after_seconds: 30, failures: 2 })
})

test('another code in the same spell is a warning once', () => {
  const { lines, once } = setup()
  const tls = new AgentError('icp.tls', 'bad certificate')
  for (const error of [timeout, tls, timeout, tls]) once.failed(error)
  expect(lines.map((line) => line.level)).toEqual(['warn', 'warn', 'debug', 'debug'])
})

test('a new spell is a warning again', () => {
  const { lines, once } = setup()
  once.failed(timeout)
  once.succeeded()
  once.failed(timeout)
  expect(lines.map((line) => line.level)).toEqual(['warn', 'info', 'warn'])
})

test('success without a failure before says nothing', () => {
  const { lines, once } = setup()
  once.succeeded()
  expect(lines).toEqual([])
})

test('the trouble tells the latest code since the first failure, and ends with success', async () => {
  const { clock, once } = setup()
  const began = clock.now()
  once.failed(timeout)
  await clock.advance('1m')
  once.failed(new AgentError('icp.tls', 'bad certificate'))
  expect(once.trouble).toEqual({ code: 'icp.tls', message: 'bad certificate', since: began })
  once.succeeded()
  expect(once.trouble).toBeNull()
})
