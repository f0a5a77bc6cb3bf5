import { expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { LiveConfig } from '../../../agent/main/live-config.js'
import { watchConfig } from '../../../agent/main/watch-config.js'
import { FakeClock } from '../../fakes/clock.js'
import { MemoryFiles } from '../../fakes/memory-files.js'
import { load, TENANT } from '../config/given.js'

const PATH = '/etc/config.yaml'
const configOf = async (watch: boolean) =>
  (await load({ file: `agent: {tenant_id: ${TENANT}, watch_config: ${watch}}\n` })).config

async function watched(watch = true) {
  const [files, clock, live] = [new MemoryFiles(), new FakeClock(), new LiveConfig(await configOf(watch))]
  const stop = new AbortController()
  let reloads = 0
  const put = (text: string | null) =>
    text === null ? void files.content.delete(PATH) : void files.content.set(PATH, Buffer.from(text))
  put('one')
  const reload = async () => {
    reloads += 1
  }
  const ended = watchConfig({ live, path: PATH, files, clock, reload }, stop.signal)
  return {
    ...{ files, put, live },
    /** Reloads so far, after the next look. */
    reloads: async () => {
      await clock.advance('10s')
      return reloads
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await ended
    },
  }
}

test('a changed configuration file is reloaded once, an unchanged one never', async () => {
  await using file = await watched()
  expect([await file.reloads(), await file.reloads()]).toEqual([0, 0])
  file.put('two')
  expect([await file.reloads(), await file.reloads()]).toEqual([1, 1])
})

test('a file that is being replaced, or cannot be read for a moment, is no change', async () => {
  await using file = await watched()
  expect(await file.reloads()).toBe(0)
  file.put(null)
  expect(await file.reloads()).toBe(0)
  file.put('one')
  file.files.hook = () => {
    throw new AgentError('file.io', 'not now')
  }
  expect(await file.reloads()).toBe(0)
  file.files.hook = () => undefined
  expect(await file.reloads()).toBe(0)
  file.put(null)
  expect(await file.reloads()).toBe(0)
  file.put('two')
  expect(await file.reloads()).toBe(1)
})

test('nothing is read until agent.watch_config is on, and a change from before is none', async () => {
  await using file = await watched(false)
  let reads = 0
  file.files.hook = () => {
    reads += 1
  }
  file.put('two')
  expect([await file.reloads(), reads]).toEqual([0, 0])
  file.live.replace(await configOf(true))
  expect(await file.reloads()).toBe(0)
  file.put('three')
  expect(await file.reloads()).toBe(1)
})
