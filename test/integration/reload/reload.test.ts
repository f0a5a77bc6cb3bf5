import { writeFile } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { TestCa } from '../../fakes/ca.js'
import { startServer, temporaryDirectory } from '../../support/agent.js'
import { until } from '../../support/until.js'
import { reloadable } from './support.js'

vi.setConfig({ testTimeout: 180_000 })

test('a wrong file changes nothing and says everything that is wrong, until a good one comes', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const world = await reloadable(dir.path, server)
  await using agent = await world.start()
  const before = await world.settings(agent)

  await world.write({ sync: { interval: 'soon' }, jwt: { validation: 'never' }, workload_api: { hold: '1s' } })
  const wrong = await world.reload(agent)
  expect(wrong).toMatchObject({ ok: false, changed: [], needs_restart: [] })
  expect(wrong.problems.map(({ key }) => key).sort()).toEqual(['jwt.validation', 'sync.interval'])
  await writeFile(world.path, 'a: [')
  expect((await world.reload(agent)).problems.map(({ key }) => key)).toContain('(file)')
  await world.write({ logging: { file_path: '/proc/none/a.log' } })
  expect((await world.reload(agent)).problems.map(({ key }) => key)).toEqual(['logging.file_path'])
  expect(await world.settings(agent)).toEqual(before)
  expect(await world.metrics.text()).toMatch(/^icp_agent_config_last_reload_successful 0$/m)

  await world.write({ workload_api: { hold: '1s' }, health: { port: 9 } })
  const good = await world.reload(agent)
  expect(good.changed).toEqual([{ key: 'workload_api.hold', from: '30s', to: '1s' }])
  expect(good.needs_restart).toEqual([{ key: 'health.port', from: 8080, to: 9 }])
  expect(good.fixed_by_environment).toContain('agent.tenant_id')
  expect(await world.settings(agent)).toEqual({ ...before, 'workload_api.hold': '1s' })
  expect(await world.metrics.text()).toMatch(/^icp_agent_config_last_reload_successful 1$/m)
})

test('reloads that are asked for at once are done one after the other, and all are answered', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const world = await reloadable(dir.path, server)
  await using agent = await world.start()
  await world.write({ sync: { interval: '9s' } })
  const answers = await Promise.all([1, 2, 3, 4].map(() => world.reload(agent)))
  expect(answers.map(({ ok }) => ok)).toEqual([true, true, true, true])
  expect(answers.flatMap(({ changed }) => changed)).toHaveLength(1)
})

test('a request under way ends as it began when the trust bundle changes, and the next one uses the new one', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await writeFile(
    `${dir.path}/other.pem`,
    (await TestCa.create('other', { notBefore: 0, notAfter: 4_000_000_000_000 })).pem,
  )
  const world = await reloadable(dir.path, server)
  await using agent = await world.start()
  await agent.logged('Agent startup completed successfully')
  // A fault that has struck is gone: its request is under way then.
  server.setFault({ kind: 'latency', ms: 2_000, endpoint: '/v1/entries/by-parent', times: 1 })
  await until(() => server.faults.length === 0)
  const answered = () => server.requests.count({ endpoint: '/v1/entries/by-parent', status: 200 })
  const before = answered()
  await world.write({ icp_service: { trust_bundle_path: `${dir.path}/other.pem` } })
  expect(await world.reload(agent)).toMatchObject({ ok: true })
  expect(answered()).toBe(before)
  await until(() => answered() === before + 1)
  const trouble = async () => (await world.status(agent)).server.trouble
  expect((await until(trouble))?.message).toContain('its certificate')
  expect(answered()).toBe(before + 1)
  await world.write()
  expect(await world.reload(agent)).toMatchObject({ ok: true })
  await until(async () => (await trouble()) === null)
  expect(agent.lines.filter(({ level }) => level === 'error')).toEqual([])
})

test('the log has another level for a while, and then the configured one', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const world = await reloadable(dir.path, server)
  await using agent = await world.start({ logging: { level: 'info' } })
  expect(await world.setLevel(agent, { level: 'debug', for_seconds: 2 })).toMatchObject({
    level: 'debug',
    configured: 'info',
  })
  await agent.logged('Log level is the configured one again')
  expect(await world.level(agent)).toMatchObject({ level: 'info', until: null })
})
