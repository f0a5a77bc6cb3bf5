import { expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { MINUTE, never, open, TOKEN_FILE, World } from './world.js'

test('a server that answers again is asked at once for what failed for want of an answer', async () => {
  const world = await World.create()
  world.server.fail('attestNode', new AgentError('icp.unreachable', 'away'), { times: 6 })
  const keeper = world.keeper()
  await keeper.restore()
  for (let i = 0; i < 6; i++) await keeper.attempt(never())
  expect((keeper.due(world.clock.now())?.at ?? 0) - world.clock.now()).toBeGreaterThan(30_000)
  keeper.serverReturned()
  expect(keeper.due(world.clock.now())?.at).toBe(world.clock.now())
  await keeper.attempt(never())
  expect(keeper.current()).not.toBeNull()
})

test('a node that is locked out does not ask sooner because the server answers', async () => {
  const world = await World.create({ generation: 'workspace' })
  world.files.content.set(TOKEN_FILE, Buffer.from('made-up'))
  const keeper = world.keeper()
  await keeper.restore()
  await keeper.attempt(never())
  const due = keeper.due(world.clock.now())?.at
  keeper.serverReturned()
  expect(keeper.due(world.clock.now())?.at).toBe(due)
})

test('a new join token is found although the clock was set back during the lock-out', async () => {
  const world = await World.create({ generation: 'workspace' })
  const keeper = world.keeper()
  await keeper.restore()
  const stop = new AbortController()
  const running = keeper.run(stop.signal, open)
  await world.pass(MINUTE / 2)
  expect(keeper.state().kind).toBe('locked_out')
  await world.clock.jump('-20m')
  world.giveToken()
  await world.pass(10_000)
  expect(keeper.current()).not.toBeNull()
  stop.abort()
  await running
})
