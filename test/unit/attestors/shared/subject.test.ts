import { describe, expect, it } from 'vitest'
import { subjectOf } from '../../../../attestors/shared/subject.js'
import { FakeKernel } from '../../../fakes/kernel.js'
import { ID, VICTIM } from './recorded-cgroups.js'

const HOST = '0::/system.slice/icp-agent.service\n'

describe('whom a connection counts against', () => {
  it.each([
    ['a container of docker', `0::/system.slice/docker-${ID}.scope\n`],
    ['a container of a pod', `0::/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796/${ID}\n`],
    ['a group of its own below that of its container', `0::/docker/${ID}/docker/${VICTIM}\n`],
  ])('the container: %s', (_what, cgroup) => {
    expect(subjectOf(peerOf(cgroup), HOST)).toBe(`container:${ID}`)
  })

  it.each([
    ['a session', '0::/user.slice/user-1007.slice/session-1.scope\n'],
    ["a container's name that a user gave", `0::/user.slice/user-1007.slice/user@1007.service/docker-${ID}.scope\n`],
    ["a container's name that a service gave", `0::/system.slice/batch.service/${ID}\n`],
    ['hierarchies that differ', `4:memory:/docker/${ID}\n3:pids:/docker/${VICTIM}\n`],
    ['nothing', ''],
  ])('the user: %s', (_what, cgroup) => {
    expect(subjectOf(peerOf(cgroup), HOST)).toBe('uid:1007')
  })

  it('the user, once the process has ended', () => {
    const kernel = new FakeKernel()
    const process = kernel.spawn({ uid: 1007, files: { cgroup: `0::/docker/${ID}\n` } })
    const caller = kernel.peer(process)
    process.exit()
    expect(subjectOf(caller, HOST)).toBe('uid:1007')
  })
})

function peerOf(cgroup: string) {
  const kernel = new FakeKernel()
  return kernel.peer(kernel.spawn({ uid: 1007, files: { cgroup } }))
}
