import { expect, test } from 'vitest'
import { KnownIssuer } from '../../../dev/icp-server/known-issuer.js'
import { FakeClock } from '../../fakes/clock.js'

test('the issuer is looked up when first needed, and again once the time is over, whatever the wall clock says', async () => {
  const clock = new FakeClock()
  let current = 'first'
  const issuer = new KnownIssuer(() => current, clock, 300_000)
  await clock.advance('1h')
  expect(issuer.pem).toBe('first')
  current = 'second'
  await clock.jump('1d')
  await clock.advance('299s')
  expect(issuer.pem).toBe('first')
  await clock.advance('1s')
  expect(issuer.pem).toBe('second')
  current = 'third'
  issuer.lookUp()
  expect(issuer.pem).toBe('third')
})

test('with no time at all it is looked up each time', () => {
  let current = 'first'
  const issuer = new KnownIssuer(() => current, new FakeClock(), 0)
  expect(issuer.pem).toBe('first')
  current = 'second'
  expect(issuer.pem).toBe('second')
})
