import { expect, it } from 'vitest'
import type { WithdrawnSelectors } from '../../../agent/attestation/attestor.js'
import { callerOf } from '../../../agent/attestation/caller.js'
import { callerEvents } from '../../../agent/observability/caller-events.js'
import { Workloads } from '../../../agent/workload-api/workloads.js'
import { FakeAttestor } from '../../fakes/attestor.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { FakeKernel } from '../../fakes/kernel.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { workloadContext } from '../../fakes/workload.js'

const NONE: WithdrawnSelectors = { now: () => false, next: () => false }
const off = (name: string): WithdrawnSelectors => ({ now: (attestor) => attestor === name, next: () => false })

/** One workload, attested by `unix` and `docker`; `swap` puts other attestors into force, as a reload does. */
async function attested() {
  const kernel = new FakeKernel()
  const clock = new FakeClock()
  const unix = new FakeAttestor('unix')
  const docker = new FakeAttestor('docker')
  unix.selectors = { 'unix:uid': '1000' }
  docker.selectors = { 'docker:image': 'old' }
  let attestors = [unix, docker]
  const context = workloadContext({ kernel, clock, events: callerEvents(new RecordedSinks(), clock) })
  const workloads = new Workloads({
    ...context,
    get attestors() {
      return attestors
    },
  })
  const workload = workloads.acquire(callerOf(kernel.peer(kernel.spawn())))
  await settle()
  const told: object[] = []
  workload.subscribe(() => told.push(Object.fromEntries(workload.selectors)))
  return {
    ...{ unix, docker, workload, workloads, told, clock },
    selectors: () => Object.fromEntries(workload.selectors),
    swap: (next: FakeAttestor[], withdrawn: WithdrawnSelectors) => {
      attestors = next
      workloads.attestorsChanged(withdrawn)
    },
  }
}

it('an attestation under way counts no more once other attestors are in force', async () => {
  const { unix, docker, workload, workloads, told, selectors, swap } = await attested()
  using _ = workloads
  docker.holds = true
  docker.selectors = { 'docker:image': 'by the old rules' }
  workload.reattest()
  await settle()
  const strict = new FakeAttestor('docker')
  strict.selectors = { 'docker:image': 'by the new rules' }
  swap([unix, strict], NONE)
  // The old attestor answers before the new one was asked.
  docker.answer()
  await settle()
  expect(selectors()).toEqual({ 'unix:uid': '1000', 'docker:image': 'by the new rules' })
  expect(told).toEqual([{ 'unix:uid': '1000', 'docker:image': 'by the new rules' }])
  expect([docker.calls, strict.calls]).toEqual([2, 1])
})

it('that an attestation under way fails by the old attestors is not told', async () => {
  const { unix, docker, workload, workloads, selectors, swap } = await attested()
  using _ = workloads
  docker.holds = true
  docker.meanwhile = () => {
    throw new TypeError('the client of the old settings is closed')
  }
  unix.fails = new TypeError('closed')
  workload.reattest()
  await settle()
  const [newUnix, newDocker] = [new FakeAttestor('unix'), new FakeAttestor('docker')]
  newUnix.selectors = { 'unix:uid': '1000' }
  newDocker.holds = true
  swap([newUnix, newDocker], NONE)
  docker.answer()
  await settle()
  expect(selectors()).toEqual({ 'unix:uid': '1000', 'docker:image': 'old' })
  newDocker.answer()
  await settle()
  expect(selectors()).toEqual({ 'unix:uid': '1000' })
})

it('a platform that is turned off gives no selectors from that turn on, also while it is being asked', async () => {
  const { unix, docker, workload, workloads, told, selectors, swap } = await attested()
  using _ = workloads
  docker.holds = true
  workload.reattest()
  await settle()
  unix.holds = true
  swap([unix], off('docker'))
  expect(selectors()).toEqual({ 'unix:uid': '1000' })
  docker.answer()
  await settle()
  expect(selectors()).toEqual({ 'unix:uid': '1000' })
  unix.answer()
  await settle()
  expect(selectors()).toEqual({ 'unix:uid': '1000' })
  expect(told).toEqual([{ 'unix:uid': '1000' }])
  expect(docker.watched.size).toBe(0)
})

it('selectors that are withdrawn next count until the new attestors have answered, and not beyond', async () => {
  const { unix, workloads, selectors, swap } = await attested()
  using _ = workloads
  const strict = new FakeAttestor('docker')
  strict.holds = true
  strict.unavailable = ['docker']
  swap([unix, strict], { now: () => false, next: (attestor) => attestor === 'docker' })
  await settle()
  expect(selectors()).toEqual({ 'unix:uid': '1000', 'docker:image': 'old' })
  strict.answer()
  await settle()
  expect(selectors()).toEqual({ 'unix:uid': '1000' })
})
