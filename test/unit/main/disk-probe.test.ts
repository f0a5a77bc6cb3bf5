import { afterEach, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { DiskProbe } from '../../../agent/main/disk-probe.js'
import { FakeClock } from '../../fakes/clock.js'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

function start() {
  const clock = new FakeClock()
  const disk: { fails: AgentError | null; writes: string[] } = { fails: null, writes: [] }
  const files = {
    writeAtomically: async (path: string) => {
      disk.writes.push(path)
      if (disk.fails) throw disk.fails
    },
  }
  const probe = new DiskProbe('/data', files, clock)
  const stop = new AbortController()
  const running = probe.run(stop.signal)
  stops.push(async () => {
    stop.abort()
    await running
    expect(clock.pending).toBe(0)
  })
  return { clock, disk, probe }
}

it('a disk that works is written to four times a minute, and nothing is wrong', async () => {
  const { clock, disk, probe } = start()
  await clock.advance('59s')
  expect(disk.writes).toEqual(Array.from({ length: 4 }, () => '/data/.probe'))
  expect(probe.trouble).toBeNull()
})

it('a disk that fails shows within fifteen seconds, since then, and no longer when it works again', async () => {
  const { clock, disk, probe } = start()
  await clock.advance('1s')
  disk.fails = new AgentError('file.io', 'the disk hangs')
  await clock.advance('14s')
  const since = clock.now()
  expect(probe.trouble).toEqual({ code: 'file.io', message: 'the disk hangs', since })
  await clock.advance('1m')
  expect(probe.trouble?.since).toBe(since)
  disk.fails = null
  await clock.advance('15s')
  expect(probe.trouble).toBeNull()
})
