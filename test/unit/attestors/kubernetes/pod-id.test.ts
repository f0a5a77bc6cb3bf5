import { describe, expect, it } from 'vitest'
import { placeOf } from '../../../../attestors/kubernetes/pod-id.js'
import { containerOf } from '../../../../attestors/shared/cgroup.js'
import { cgroupOf, containerId, podUid } from '../../../support/kubernetes-pods.js'

const uid = podUid('p')
const id = containerId('c')
const where = (cgroup: string, own = '') => placeOf(containerOf(cgroup, own))

describe('the pod of a process', () => {
  it.each([
    ['systemd driver', cgroupOf(uid, id)],
    ['cgroupfs driver', `0::/kubepods/burstable/pod${uid}/${id}\n`],
    ['cgroup v1', `4:memory:/kubepods/pod${uid}/${id}\n3:cpu,cpuacct:/kubepods/pod${uid}/${id}\n`],
    ['a sub-group of the container', `0::/kubepods/pod${uid}/${id}/init.scope\n`],
    ['seen from a cgroup namespace', `0::/../../pod${uid}/${id}\n`],
  ])('is that of its control group: %s', (_what, cgroup) => {
    expect(where(cgroup)).toEqual({ kind: 'pod', places: [{ podUid: uid, containerId: id }] })
  })

  it('is a static one by its hash', () => {
    const hash = '0123456789abcdef0123456789abcdef'
    expect(where(`0::/kubepods/burstable/pod${hash}/${id}\n`)).toMatchObject({ places: [{ podUid: hash }] })
  })

  it.each([
    ['outside of containers', '0::/user.slice/user-1000.slice/session-1.scope\n'],
    ['in a container that is in no pod', `0::/system.slice/docker-${id}.scope\n`],
    [
      'in a group of its own that is named like a pod',
      `0::/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-pod${uid.replaceAll('-', '_')}.slice/cri-containerd-${id}.scope\n`,
    ],
    ['in a group below a service that is named like a pod', `0::/system.slice/x.service/kubepods/pod${uid}/${id}\n`],
    [
      'where hierarchies contradict one another',
      `4:memory:/kubepods/pod${uid}/${id}\n3:cpu:/kubepods/pod${uid}/${containerId('other')}\n`,
    ],
    ['whose group cannot be read', ''],
  ])('is none %s', (_what, cgroup) => {
    expect(where(cgroup).kind).toBe('none')
  })

  it('is that of the outer container, where one inside of it is named like another pod', () => {
    const inner = `pod${podUid('other')}/${containerId('other')}`
    expect(where(`0::/kubepods/pod${uid}/${id}/kubepods/${inner}\n`)).toEqual({
      kind: 'pod',
      places: [{ podUid: uid, containerId: id }],
    })
  })
})
