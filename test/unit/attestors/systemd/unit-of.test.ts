import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { unitOf } from '../../../../attestors/systemd/unit-of.js'

const ID = 'a5429977f9942cb7763cb0ec168c484898a4a756d2b553f27cbd31a074e84f08'
const POD = '2c48913c_b29f_11e7_9350_020968147796'

const v2 = (path: string) => `0::${path}\n`
const hybrid = (path: string) => `9:name=systemd:${path}\n4:memory:/\n0::${path}\n`
const HOST = v2('/init.scope')

/** Id and slice, or null. */
function unit(cgroup: string, first = HOST): [string, string] | null {
  const found = unitOf(cgroup, first)
  return found.kind === 'unit' ? [found.unit.id, found.unit.slice] : null
}

describe('the unit of a process by its control group', () => {
  it.each<[string, string, [string, string] | null]>([
    ['a service', '/system.slice/nginx.service', ['nginx.service', 'system.slice']],
    ['a service that made groups of its own', '/system.slice/a.service/b.service/c', ['a.service', 'system.slice']],
    [
      'a service that made a slice of its own',
      '/system.slice/a.service/system.slice/b.service',
      ['a.service', 'system.slice'],
    ],
    [
      'an instance',
      '/system.slice/system-getty.slice/getty@tty1.service',
      ['getty@tty1.service', 'system-getty.slice'],
    ],
    [
      'an escaped instance',
      '/system.slice/system-t.slice/t@\\xc3\\xbc-b.service',
      ['t@\\xc3\\xbc-b.service', 'system-t.slice'],
    ],
    ['an escaped slice', '/system.slice/system-a\\x2db.slice/a-b@1.service', ['a-b@1.service', 'system-a\\x2db.slice']],
    ['slices in slices', '/a.slice/a-b.slice/a-b-c.slice/x.service', ['x.service', 'a-b-c.slice']],
    ['a name that a file of the kernel could have', '/system.slice/_cpu.service', ['cpu.service', 'system.slice']],
    ['a service at the top', '/odd.service', ['odd.service', '-.slice']],
    ['systemd itself', '/init.scope', ['init.scope', '-.slice']],
    ['a session', '/user.slice/user-1000.slice/session-3.scope', ['session-3.scope', 'user-1000.slice']],
    ['a program of a mount unit', '/system.slice/srv-data.mount', ['srv-data.mount', 'system.slice']],
    ['a program of a socket unit', '/system.slice/a.socket', ['a.socket', 'system.slice']],
    [
      'the manager of a user',
      '/user.slice/user-1000.slice/user@1000.service/init.scope',
      ['user@1000.service', 'user-1000.slice'],
    ],
    [
      "a user's service of the same name",
      '/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service',
      ['user@1000.service', 'user-1000.slice'],
    ],
    [
      "a user's slice and service of the same names",
      '/user.slice/user-1000.slice/user@1000.service/system.slice/nginx.service',
      ['user@1000.service', 'user-1000.slice'],
    ],
    [
      'a machine',
      '/machine.slice/machine-web.scope/payload/system.slice/nginx.service',
      ['machine-web.scope', 'machine.slice'],
    ],
    [
      'a container of Docker, which is a unit',
      `/system.slice/docker-${ID}.scope`,
      [`docker-${ID}.scope`, 'system.slice'],
    ],
    [
      'a service within a container of Docker',
      `/system.slice/docker-${ID}.scope/system.slice/nginx.service`,
      [`docker-${ID}.scope`, 'system.slice'],
    ],
    [
      'a container of a pod',
      `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD}.slice/cri-containerd-${ID}.scope`,
      [`cri-containerd-${ID}.scope`, `kubepods-besteffort-pod${POD}.slice`],
    ],

    ['the root of the tree', '/', null],
    ['a slice by itself', '/system.slice', null],
    ['a group of the kubelet without systemd', `/kubepods/burstable/pod${POD}/${ID}`, null],
    ['a container without systemd, whatever it has below', `/docker/${ID}/system.slice/nginx.service`, null],
    ['a container of LXC', '/lxc.payload.web/system.slice/nginx.service', null],
    ['a machine that nobody registered', '/payload/system.slice/nginx.service', null],
    ['a container below a service', `/system.slice/k3s.service/kubepods/pod${POD}/${ID}`, null],
    ['a container below a service, by a name of Docker', `/system.slice/podman.service/libpod-${ID}`, null],
    ['a slice that systemd would put elsewhere', '/a-b.slice/nginx.service', null],
    ['a slice of another slice', '/system.slice/user-1.slice/nginx.service', null],
    ['the root slice as a group', '/-.slice/nginx.service', null],
    ['a name that no unit has', '/system.slice/ngi nx.service', null],
    ['a type that holds no processes', '/system.slice/a.timer', null],
    ['a name without a prefix', '/system.slice/.service', null],
    ['a name that is too long', `/system.slice/${'a'.repeat(250)}.service`, null],
    ['a group that is gone', '/system.slice/nginx.service (deleted)', null],
  ])('%s', (_what, path, expected) => {
    expect(unit(v2(path))).toEqual(expected)
    expect(unit(hybrid(path), hybrid('/init.scope'))).toEqual(expected)
    expect(unit(`1:name=systemd:${path}\n`, '1:name=systemd:/init.scope\n')).toEqual(expected)
  })

  const nginx: [string, string] = ['nginx.service', 'system.slice']
  it.each<[string, string, string, [string, string] | null]>([
    [
      'v1 whose v2 is mounted and not in use',
      '1:name=systemd:/system.slice/nginx.service\n0::/\n',
      '1:name=systemd:/init.scope\n0::/\n',
      nginx,
    ],
    [
      'v2 where somebody mounted the old hierarchy',
      '1:name=systemd:/\n0::/system.slice/nginx.service\n',
      '1:name=systemd:/\n0::/init.scope\n',
      nginx,
    ],
    [
      'different units',
      '1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n',
      hybrid('/init.scope'),
      null,
    ],
    [
      'the same name in another slice',
      '1:name=systemd:/a.slice/nginx.service\n0::/system.slice/nginx.service\n',
      hybrid('/init.scope'),
      null,
    ],
    [
      'a container that the engine did not move out of its own unit everywhere',
      `1:name=systemd:/docker/${ID}\n0::/system.slice/containerd.service\n`,
      hybrid('/init.scope'),
      null,
    ],
    [
      'a container that shows in a controller alone',
      `4:memory:/docker/${ID}\n1:name=systemd:/system.slice/docker.service\n`,
      '4:memory:/\n1:name=systemd:/init.scope\n',
      null,
    ],
    [
      'systemd 219, which is at the top itself',
      '1:name=systemd:/system.slice/nginx.service\n',
      '1:name=systemd:/\n',
      nginx,
    ],
    [
      'systemd in a container without a namespace for it',
      v2('/lxc/web/system.slice/nginx.service'),
      v2('/lxc/web/init.scope'),
      nginx,
    ],
    [
      'the same in Docker, where every path names the container around all',
      `4:memory:/docker/${ID}\n0::/docker/${ID}/system.slice/nginx.service\n`,
      `4:memory:/docker/${ID}\n0::/docker/${ID}/init.scope\n`,
      nginx,
    ],
    ['a process beside such a container', v2('/lxc/db/system.slice/nginx.service'), v2('/lxc/web/init.scope'), null],
    ['a process around such a container', v2('/system.slice/nginx.service'), v2('/lxc/web/init.scope'), null],
    [
      'an agent with a namespace of its own, elsewhere in the tree',
      v2('/../../system.slice/nginx.service'),
      v2('/../../init.scope'),
      nginx,
    ],
    ['such an agent, and a process whose slice cannot be seen', v2('/../nginx.service'), v2('/../../init.scope'), null],
    [
      'such an agent, and a process beyond the top',
      v2('/../../../system.slice/nginx.service'),
      v2('/../../init.scope'),
      null,
    ],
    ['a manager that shows nothing', v2('/system.slice/nginx.service'), '', null],
  ])('%s', (_what, cgroup, first, expected) => {
    expect(unit(cgroup, first)).toEqual(expected)
  })

  it('names the control group as the manager does, with and without what is around it', () => {
    const found = unitOf(v2('/lxc/web/system.slice/nginx.service/worker'), v2('/lxc/web/init.scope'))
    expect(found).toMatchObject({
      unit: { groups: ['/system.slice/nginx.service', '/lxc/web/system.slice/nginx.service'] },
    })
  })

  it('says why there is none', () => {
    expect(unitOf(v2('/docker/x'), HOST)).toEqual({ kind: 'none', why: '/docker/x is not that of a unit' })
    expect(unitOf(v2(`/system.slice/k3s.service/${ID}`), HOST)).toEqual({
      kind: 'none',
      why: `it is in container ${ID} below k3s.service`,
    })
  })
})

const segment = fc.oneof(
  fc.constantFrom('system.slice', 'nginx.service', 'user.slice', 'a.scope', 'init.scope', 'app.slice', ID, '..', 'x'),
  fc.string({ minLength: 1, maxLength: 12 }).filter((text) => !/[/\n]/.test(text)),
)
const path = fc.array(segment, { maxLength: 6 }).map((segments) => `/${segments.join('/')}`)

describe('whatever a workload makes below its own unit', () => {
  it.each([
    ['/system.slice/batch.service', 'batch.service'],
    ['/user.slice/user-1000.slice/user@1000.service', 'user@1000.service'],
    ['/user.slice/user-1000.slice/session-4.scope', 'session-4.scope'],
  ])('%s stays %s, or is nobody', (home, id) => {
    fc.assert(
      fc.property(path, path, (one, other) => {
        const found = unit(`1:name=systemd:${home}${one}\n0::${home}${other}\n`, hybrid('/init.scope'))
        expect(found === null || found[0] === id).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  it('nothing makes it fail', () => {
    const line = fc.oneof(
      fc.string({ maxLength: 60 }),
      path.map((text) => `0::${text}`),
      path.map((text) => `1:name=systemd:${text}`),
    )
    const text = fc.array(line, { maxLength: 6 }).map((lines) => lines.join('\n'))
    fc.assert(
      fc.property(text, text, (cgroup, first) => {
        const found = unit(cgroup, first)
        expect(found?.[0] ?? 'a.service').toMatch(/\.(service|scope|socket|mount|swap)$/)
      }),
      { numRuns: 1000 },
    )
  })
})
