import { describe, expect, it } from 'vitest'
import { attest, type Known } from '../../../agent/attestation/attest.js'
import { callerOf } from '../../../agent/attestation/caller.js'
import { codeOf } from '../../../agent/errors.js'
import { callerEvents } from '../../../agent/observability/caller-events.js'
import { FakeAttestor } from '../../fakes/attestor.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { FakeKernel } from '../../fakes/kernel.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const DEADLINE = 2000

function setting() {
  const kernel = new FakeKernel()
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const unix = new FakeAttestor('unix')
  const docker = new FakeAttestor('docker', ['docker', 'authsec'])
  unix.selectors = { 'unix:uid': '1000' }
  const process = kernel.spawn()
  const caller = callerOf(kernel.peer(process))
  const events = callerEvents(sinks, clock)
  const run = (known: Known = new Map(), attestors = [unix, docker]) =>
    attest({ attestors, clock, events, deadlineMs: DEADLINE }, caller, known, new AbortController())
  return { kernel, clock, sinks, unix, docker, process, caller, run }
}

describe('attestation', () => {
  it('merges what all attestors say', async () => {
    const { docker, run, clock } = setting()
    docker.selectors = { 'docker:image': 'web:1' }
    const { selectors, unavailable } = await run()
    expect(Object.fromEntries(selectors)).toEqual({ 'unix:uid': '1000', 'docker:image': 'web:1' })
    expect(unavailable).toEqual([])
    expect(clock.pending).toBe(0)
  })

  it('an attestor speaks for its own platforms only', async () => {
    const { docker, run } = setting()
    docker.selectors = { 'unix:uid': '0', 'k8s:ns': 'kube-system', 'authsec:client_id': 'a', unix: 'x' }
    const { selectors, notes } = await run()
    expect(Object.fromEntries(selectors)).toEqual({ 'unix:uid': '1000', 'authsec:client_id': 'a' })
    expect(notes.filter((line) => line.text.includes('left out'))).toHaveLength(3)
  })

  it('of two that contradict each other the first counts', async () => {
    const { docker, run } = setting()
    const other = new FakeAttestor('k8s', ['k8s', 'authsec'])
    docker.selectors = { 'authsec:client_id': 'docker' }
    other.selectors = { 'authsec:client_id': 'k8s' }
    const { selectors, notes } = await run(new Map(), [docker, other])
    expect(selectors.get('authsec:client_id')).toBe('docker')
    expect(notes.some((line) => line.attestor === 'k8s' && line.text.includes('left out'))).toBe(true)
  })

  it('what an unavailable platform said before is kept, and only that', async () => {
    const { docker, run } = setting()
    docker.selectors = { 'docker:image': 'web:1', 'authsec:client_id': 'a' }
    const first = await run()
    docker.selectors = {}
    docker.unavailable = ['docker']
    const second = await run(first.known)
    expect(Object.fromEntries(second.selectors)).toEqual({ 'unix:uid': '1000', 'docker:image': 'web:1' })
    expect(second.unavailable).toEqual(['docker'])
    expect(second.notes.at(-1)).toMatchObject({
      attestor: 'docker',
      text: expect.stringContaining('of the last attestation'),
    })
    docker.unavailable = []
    const third = await run(second.known)
    expect(Object.fromEntries(third.selectors)).toEqual({ 'unix:uid': '1000' })
  })

  it('a selector that one attestor withdrew does not live on because another of its platform is away', async () => {
    const { docker, run } = setting()
    const other = new FakeAttestor('k8s', ['k8s', 'authsec'])
    other.selectors = { 'authsec:client_id': 'k8s' }
    const first = await run(new Map(), [docker, other])
    other.selectors = {}
    docker.unavailable = ['docker', 'authsec']
    const second = await run(first.known, [docker, other])
    expect(second.selectors.has('authsec:client_id')).toBe(false)
  })

  it('an attestor that throws makes its platforms unavailable, not the others', async () => {
    const { docker, run, sinks } = setting()
    docker.fails = new Error('a defect')
    const { selectors, unavailable } = await run()
    expect(selectors.get('unix:uid')).toBe('1000')
    expect(unavailable).toEqual(['authsec', 'docker'])
    expect(sinks.events('warn')).toEqual(['Workload attestor failed'])
    await run()
    expect(sinks.events('warn')).toHaveLength(1)
    docker.fails = null
    await run()
    expect(sinks.events('info')).toEqual(['Workload attestor answers again'])
  })

  it('at the deadline an attestor hands in what it has; one that does not is cut off', async () => {
    const { docker, unix, run, clock } = setting()
    unix.holds = true
    docker.holds = true
    docker.minds = false
    docker.selectors = { 'docker:image': 'late' }
    const result = run()
    await clock.advance(DEADLINE)
    await clock.advance(100)
    const { selectors, unavailable } = await result
    expect(Object.fromEntries(selectors)).toEqual({ 'unix:uid': '1000' })
    expect(unavailable).toEqual(['authsec', 'docker', 'unix'])
    expect(clock.pending).toBe(0)
  })

  it.each([
    ['attestation.failed', (a: FakeAttestor) => Object.assign(a, { fails: new Error('x') })],
    ['attestation.timeout', (a: FakeAttestor) => Object.assign(a, { holds: true, minds: false })],
  ] as const)('when no attestor says anything it is %s', async (code, spoil) => {
    const { docker, unix, run, clock } = setting()
    spoil(unix)
    spoil(docker)
    const result = run().catch(codeOf)
    await clock.advance(DEADLINE + 100)
    expect(await result).toBe(code)
  })

  it('the notes have at most 16 lines of each attestor, of bounded length, so that none crowds out another', async () => {
    const { docker, unix, run } = setting()
    unix.selectors = { 'unix:uid': '1000', 'docker:image': 'mine' }
    docker.selectors = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`other:${'x'.repeat(500)}${i}`, 'x']))
    const { notes } = await run()
    expect(notes.filter(({ attestor }) => attestor === 'docker')).toHaveLength(16)
    expect(notes.filter(({ attestor }) => attestor === 'unix')).toHaveLength(2)
    expect(Math.max(...notes.map((line) => line.text.length))).toBeLessThanOrEqual(300)
  })

  it('an attestor without notes is in the notes by the number of its selectors, and not if it found none', async () => {
    const { docker, run } = setting()
    docker.silent = true
    const ofDocker = async () => (await run()).notes.filter(({ attestor }) => attestor === 'docker')
    expect(await ofDocker()).toEqual([])
    docker.selectors = { 'docker:image': 'web' }
    expect(await ofDocker()).toEqual([{ attestor: 'docker', text: 'selectors found: 1' }])
  })

  it('that a process ended is no failure of an attestor', async () => {
    const { docker, run, sinks, process } = setting()
    docker.meanwhile = () => process.exit()
    docker.fails = new Error('no such process')
    await run()
    await settle()
    expect(sinks.events('warn')).toEqual([])
  })
})
