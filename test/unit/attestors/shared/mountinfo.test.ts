import { describe, expect, it } from 'vitest'
import { mountedContainer, rootMount } from '../../../../attestors/shared/mountinfo.js'
import { ID, OUTER } from './recorded-cgroups.js'

const ROOT = '72 42 0:44 / / rw,relatime master:10 - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/u,workdir=/w'
const MACHINE = '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard'

describe('the container whose files are mounted', () => {
  it.each([
    [
      'docker',
      `89 72 254:0 /var/lib/docker/containers/${ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda rw`,
    ],
    [
      'docker with a data root of its own',
      `90 72 254:0 /srv/d/containers/${ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw`,
    ],
    [
      'podman with vfs',
      `186 180 254:0 /run/vfs-containers/${ID}/userdata/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw`,
    ],
    [
      'podman with overlay2 storage',
      `187 180 0:25 /containers/overlay2-containers/${ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw`,
    ],
    ['an optional field', `91 72 8:1 /d/containers/${ID}/hosts /etc/hosts rw shared:7 master:1 - ext4 /dev/sda1 rw`],
  ])('is found: %s', (_what, line) => {
    expect(mountedContainer(`${ROOT}\n${line}\n`)).toBe(ID)
  })

  it.each([
    ['a machine', MACHINE],
    [
      "a pod's sandbox",
      `70 68 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/${ID}/hosts /etc/hosts rw -`,
    ],
    [
      'a pod',
      '71 68 8:1 /var/lib/kubelet/pods/2c48913c-b29f-11e7-9350-020968147796/etc-hosts /etc/hosts rw - ext4 a rw',
    ],
    ['a directory of another container', `92 72 8:1 /d/containers/${ID}/hostname /mnt/hostname rw - ext4 /dev/sda1 rw`],
    ['an id of the wrong length', `93 72 8:1 /d/containers/${ID}0/hostname /etc/hostname rw - ext4 /dev/sda1 rw`],
    ['nothing', ''],
    ['half a line', '93 72 8:1 /d/containers'],
  ])('is nobody: %s', (_what, line) => {
    expect(mountedContainer(`${MACHINE}\n${line}\n`)).toBeNull()
  })

  it('is the first of two', () => {
    const line = (id: string, file: string) =>
      `90 72 8:1 /d/containers/${id}/${file} /etc/${file} rw - ext4 /dev/a rw\n`
    expect(mountedContainer(line(ID, 'hosts') + line(OUTER, 'hostname'))).toBe(ID)
  })
})

describe('the root mount', () => {
  it('is that of the mount point /', () => {
    expect(rootMount(`${ROOT}\n75 72 0:50 / /proc rw - proc proc rw\n`)).toBe('72')
  })

  it('is the upper one of two', () => {
    expect(rootMount(`${MACHINE}\n95 27 0:60 / / rw - overlay overlay rw\n`)).toBe('95')
  })

  it('is unknown where none is shown', () => {
    expect(rootMount('75 72 0:50 / /proc rw - proc proc rw\n')).toBeNull()
  })
})
