import { expect, test } from 'vitest'
import type { TestCa } from '../fakes/ca.js'
import { BEGIN, ecKey, HOUR, rootCa, type SentSvid, sentSvid, x509SvidMessage } from '../fakes/workload-messages.js'
import { MessageCheck } from './message-check.js'

const OWN = 'spiffe://td/user/1/'
const BASE = `${OWN}base`
const then = { now: BEGIN + 60_000, jumped: false }
const message = (...svids: readonly SentSvid[]) => Buffer.from(x509SvidMessage('spiffe', svids))

function newCheck(): MessageCheck {
  return new MessageCheck({ ownPrefix: OWN, needs: BASE })
}

/** With the authorities of these in its bundle. */
function known(svid: SentSvid, ...authorities: readonly TestCa[]): SentSvid {
  return { ...svid, bundle: authorities.map(({ der }) => der) }
}

test('a message of its own identities, the one that it needs first, is as it must be', async () => {
  const ca = await rootCa()
  const [base, extra] = [await sentSvid(ca, BASE), await sentSvid(ca, `${OWN}extra`)]
  const check = newCheck()
  const checked = check.message(message(base, extra), then)
  expect(checked).toMatchObject({ violations: [], ids: [BASE, `${OWN}extra`], fresh: 2, heldUntil: BEGIN + HOUR })
  expect(check.message(message(base), then)).toMatchObject({ violations: [], fresh: 0 })
})

test('what is another’s, expired, of another key or of no authority is a violation, and so is a wrong first identity', async () => {
  const [ca, other] = [await rootCa(), await rootCa('other')]
  const base = await sentSvid(ca, BASE)
  const count = (sent: Buffer, time = then) => newCheck().message(sent, time).violations.length

  expect(count(message())).toBe(1)
  expect(count(message(base, await sentSvid(ca, 'spiffe://td/user/2/base')))).toBe(1)
  expect(count(message({ ...(await sentSvid(ca, `${OWN}other`)), spiffeId: BASE }))).toBe(1)
  expect(count(message({ ...base, key: ecKey() }))).toBe(1)
  expect(count(message(known(base, other)))).toBe(1)
  expect(count(message(await sentSvid(ca, `${OWN}extra`), base))).toBe(1)
  expect(count(message(base), { now: BEGIN + HOUR, jumped: false })).toBe(1)
  // Agent and workload are told of a jump one after the other.
  expect(count(message(base), { now: BEGIN + HOUR, jumped: true })).toBe(0)
})

test('an authority is in the bundle before an SVID of it replaces one that is valid', async () => {
  const [old, young] = [await rootCa(), await rootCa('young')]
  const [before, after] = [await sentSvid(old, BASE), await sentSvid(young, BASE)]
  const late = { now: BEGIN + HOUR, jumped: false }

  const together = newCheck()
  together.message(message(before), then)
  expect(together.message(message(known(after, old, young)), then).violations).toHaveLength(1)

  const inTurn = newCheck()
  inTurn.message(message(before), then)
  inTurn.message(message(known(before, old, young)), then)
  expect(inTurn.message(message(known(after, old, young)), then).violations).toEqual([])

  // Whoever has nothing valid, or a new stream, is better served than kept waiting.
  const expired = newCheck()
  expired.message(message(before), then)
  const fresh = await sentSvid(young, BASE, { begin: BEGIN + HOUR - 60_000 })
  expect(expired.message(message(known(fresh, old, young)), late).violations).toEqual([])
  const reopened = newCheck()
  reopened.message(message(before), then)
  reopened.anew()
  expect(reopened.message(message(known(after, old, young)), then).violations).toEqual([])
})
