import { expect, test } from 'vitest'
import { attested, ChangingCa } from './changing-ca.js'
import { open } from './world.js'

test('where the server fails on a certificate is remembered across restarts, until the node has another identity', async () => {
  const ca = await ChangingCa.create()
  const keeper = await attested(ca)
  const stop = new AbortController()
  const ran = keeper.run(stop.signal, open)
  await ca.world.pass(1000)
  keeper.certificates.failed('agents')
  keeper.certificates.failed('agents')
  await ca.world.pass(1000)
  stop.abort()
  await ran
  const restarted = await ca.start()
  expect(restarted.certificates.failsAt()).toEqual(['agents'])
  await restarted.attempt(new AbortController().signal)
  expect(restarted.certificates.failsAt()).toEqual([])
})
