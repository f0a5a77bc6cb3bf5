import { expect, test } from 'vitest'
import { tlsSettings } from '../../../agent/main/tls-settings.js'
import { never, World } from '../agent-svid/world.js'

async function setting() {
  const world = await World.create({ generation: 'workspace' })
  world.giveToken()
  await world.attested()
  const keeper = world.keeper()
  let roots: readonly string[] = []
  const tls = tlsSettings({ identity: () => keeper.current(), roots: () => roots })
  const trust = (pem: string) => {
    roots = [pem]
  }
  return { world, keeper, tls, trust }
}

test('a certificate that a start with a clock behind found too early is presented once the clock is set', async () => {
  const { world, keeper, tls } = await setting()
  await world.clock.jump('-1d')
  await keeper.restore()
  expect(tls().identity).toBeUndefined()
  await world.clock.jump('1d')
  expect(tls().identity?.certificate).toContain('BEGIN CERTIFICATE')
})

test('a certificate that has expired is not presented', async () => {
  const { world, keeper, tls } = await setting()
  await keeper.restore()
  expect(tls().identity).toBeDefined()
  await world.clock.advance('2h')
  expect(tls().identity).toBeUndefined()
})

test('the settings are the same object until the certificate or the authorities change', async () => {
  const { world, keeper, tls, trust } = await setting()
  const without = tls()
  await keeper.restore()
  const first = tls()
  expect(first).not.toBe(without)
  expect(tls()).toBe(first)
  await world.clock.advance('25m')
  await keeper.attempt(never())
  const renewed = tls()
  expect(renewed.identity?.certificate).not.toBe(first.identity?.certificate)
  expect(tls()).toBe(renewed)
  trust('a private CA')
  expect(tls()).toMatchObject({ ca: ['a private CA'], identity: renewed.identity })
})
