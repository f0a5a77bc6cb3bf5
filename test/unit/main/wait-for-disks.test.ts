import { expect, it } from 'vitest'
import { waitForDisks } from '../../../agent/main/wait-for-disks.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'

function waiting() {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  let resolve: () => void = () => undefined
  const promise = new Promise<void>((answer) => {
    resolve = answer
  })
  const disk = { promise, resolve: () => resolve() }
  const stop = new AbortController()
  const look = async (path: string) => (path === '/data' ? await disk.promise : undefined)
  const directories = new Map([
    ['/run', 'agent.socket_path'],
    ['/data', 'agent.data_dir'],
  ])
  const done = waitForDisks(directories, { clock, log: sinks.log, look }, stop.signal)
  return { clock, sinks, disk, stop, done }
}

it('a disk that answers is not waited for, and nothing is said', async () => {
  const { clock, sinks, disk, done } = waiting()
  disk.resolve()
  await done
  expect(sinks.lines).toEqual([])
  expect(clock.pending).toBe(0)
})

it('a disk that hangs at the start is named after five seconds, with its setting, and the start goes on when it answers', async () => {
  const { clock, sinks, disk, done } = waiting()
  await clock.advance('4900ms')
  expect(sinks.lines).toEqual([])
  await clock.advance('1m')
  expect(sinks.lines).toEqual([
    {
      level: 'warn',
      event: 'The start waits for a disk that does not answer',
      fields: { path: '/data', waits_for: 'agent.data_dir' },
    },
  ])
  disk.resolve()
  await done
  expect(sinks.events('info')).toEqual(['The disk answers; the start goes on'])
})

it('a stop ends the wait for a disk that hangs', async () => {
  const { clock, stop, done } = waiting()
  await clock.advance('10s')
  stop.abort(new Error('SIGTERM'))
  await expect(done).rejects.toThrow('SIGTERM')
})
