import { describe, expect, it } from 'vitest'
import { AgentError, type ErrorCode } from '../../../agent/errors.js'
import { inTime, patience } from '../../../agent/main/api-client.js'
import { FakeClock } from '../../fakes/clock.js'

/** A call that fails with these codes, one after the other, and succeeds then; null: it never answers. */
function calling(timeout: string | undefined, ...codes: readonly (ErrorCode | null)[]) {
  const clock = new FakeClock()
  const left = [...codes]
  const stop = new AbortController()
  let calls = 0
  const outcome = inTime(patience(timeout, 10_000), clock, { signal: stop.signal }, async (signal) => {
    calls++
    const code = left.shift()
    if (code === undefined) return 'answered'
    if (code !== null) throw new AgentError(code, `failed: ${code}`)
    return await new Promise<string>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }).catch((error: unknown) => (error instanceof AgentError ? error.code : 'stopped'))
  return { clock, stop, outcome, calls: () => calls }
}

const forever = (code: ErrorCode) => Array.from({ length: 1_000 }, () => code)

describe('a call of the command line', () => {
  it('is made again while the agent cannot answer it yet', async () => {
    const { clock, outcome, calls } = calling(undefined, 'client.unavailable', 'client.unavailable')
    await clock.advance('1s')
    expect(await outcome).toBe('answered')
    expect(calls()).toBe(3)
    expect(clock.pending).toBe(0)
  })

  it('uses all of the time that was given, and then tells the last failure', async () => {
    const { clock, outcome, calls } = calling('30s', ...forever('client.unavailable'))
    await clock.advance('29s')
    const before = calls()
    await clock.advance('1s')
    expect(await outcome).toBe('client.unavailable')
    expect(before).toBeGreaterThan(10)
    expect(clock.pending).toBe(0)
  })

  it('waits for an agent that does not run yet only where a time was given', async () => {
    expect(await calling(undefined, 'client.unreachable').outcome).toBe('client.unreachable')
    const { clock, outcome } = calling('30s', 'client.unreachable')
    await clock.advance('1s')
    expect(await outcome).toBe('answered')
  })

  it.each(['client.denied', 'request.invalid', 'client.unimplemented'] as const)(
    'takes %s for an answer',
    async (code) => {
      expect(await calling('30s', code).outcome).toBe(code)
    },
  )

  it('that gets no answer ends in time', async () => {
    const { clock, outcome } = calling('5s', null)
    await clock.advance('5s')
    expect(await outcome).toBe('client.timeout')
  })

  it('ends at once when the command is stopped', async () => {
    const { clock, stop, outcome } = calling('5m', 'client.unavailable')
    await clock.advance(10)
    stop.abort()
    expect(await outcome).toBe('stopped')
    expect(clock.pending).toBe(0)
  })
})
