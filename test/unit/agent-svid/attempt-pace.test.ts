import { describe, expect, test } from 'vitest'
import { AttemptPace, type LockOutToken } from '../../../agent/agent-svid/attempt-pace.js'
import { FakeClock } from '../../fakes/clock.js'
import { fixedRandom } from '../../fakes/random.js'

const MINUTE = 60_000

/** A pace that draws the whole of each wait. */
function setting() {
  const clock = new FakeClock()
  const pace = new AttemptPace({ clock, random: fixedRandom(1), backoff: { baseMs: 1_000, capMs: 10_000 } })
  const waits = () => ({ attest: pace.waitFor('attest'), other: pace.waitFor('other') })
  return { clock, pace, waits }
}

describe('during a lock-out', () => {
  test.each<[token: LockOutToken, attest: readonly number[]]>([
    ['nothing', [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 10 * MINUTE]],
    ['token', [10 * MINUTE, 10 * MINUTE]],
    ['consumed_token', [60 * MINUTE, 60 * MINUTE]],
  ])('over %s an attestation waits ever longer, and a renewal a minute', (token, expected) => {
    const { pace, waits } = setting()
    for (const attest of expected) {
      pace.lockedOut(token)
      expect(waits()).toEqual({ attest, other: MINUTE })
    }
  })

  test('a renewal that is refused, too, waits ten minutes, and so does an attestation', () => {
    const { pace, waits } = setting()
    pace.lockedOut('nothing')
    pace.renewalRefused()
    expect(waits()).toEqual({ attest: 10 * MINUTE, other: 10 * MINUTE })
  })

  test('nothing waits any more once it is over', () => {
    const { pace, waits } = setting()
    pace.lockedOut('consumed_token')
    pace.reset()
    expect(waits()).toEqual({ attest: 0, other: 0 })
  })
})

test('an attempt that failed waits as long as its back-off, or longer where it was told to, and less as time passes', async () => {
  const { clock, pace, waits } = setting()
  expect([pace.failed(0), pace.failed(0), pace.failed(60_000)]).toEqual([1_000, 2_000, 60_000])
  await clock.advance(59_000)
  expect(waits()).toEqual({ attest: 1_000, other: 1_000 })
})
