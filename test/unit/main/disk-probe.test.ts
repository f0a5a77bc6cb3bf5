import { afterEach, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { DiskProbe } from '../../../agent/main/disk-probe.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

function start() {
  const clock = new FakeClock()
  const disk: { fails: AgentError | null; writes: string[]; names: Map<string, string> } = {
    fails: null,
    writes: [],
    names: new Map([
      ['/data', '1:2'],
      ['/data/agent.lock', '1:3'],
    ]),
  }
  const files = {
    writeAtomically: async (path: string) => {
      disk.writes.push(path)
      if (disk.fails) throw disk.fails
    },
    identity: async (path: string) => disk.names.get(path) ?? null,
  }
  const sinks = new RecordedSinks()
  const probe = new DiskProbe('/data', { files, clock, log: sinks.log })
  const stop = new AbortController()
  const running = probe.run({ path: '/data/agent.lock', identity: '1:3' }, stop.signal)
  stops.push(async () => {
    stop.abort()
    await running
    expect(clock.pending).toBe(0)
  })
  return { clock, disk, probe, sinks }
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

it.each([
  ['removed', []],
  ['made again', [['/data', '1:9']]],
  [
    'replaced by a copy',
    [
      ['/data', '1:9'],
      ['/data/agent.lock', '1:10'],
    ],
  ],
  [
    'replaced, with the locked file moved into it',
    [
      ['/data', '1:9'],
      ['/data/agent.lock', '1:3'],
    ],
  ],
] as const)(
  'a data directory that was %s is said once with the remedy, and nothing is written into it',
  async (_what, names) => {
    const { clock, disk, probe, sinks } = start()
    const before = new Map(disk.names)
    await clock.advance('1s')
    disk.names = new Map(names)
    await clock.advance('14s')
    const writes = disk.writes.length
    expect(probe.trouble?.code).toBe('file.io')
    expect(probe.trouble?.message).toMatch(/^the data directory \/data was removed or replaced .*; restart the agent$/)
    await clock.advance('1m')
    expect(disk.writes.length).toBe(writes)
    expect(sinks.events('warn')).toEqual(['Data directory was replaced'])
    disk.names = before
    await clock.advance('15s')
    expect(probe.trouble).toBeNull()
    expect(sinks.events('info')).toEqual(['Data directory is back'])
  },
)
