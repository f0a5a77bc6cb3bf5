import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Container, containerOf } from '../../attestors/shared/cgroup.js'
import { linesOf } from '../../attestors/shared/lines.js'
import { mountedContainer, rootMount } from '../../attestors/shared/mountinfo.js'
import { always, alwaysAsync } from './fuzz.js'

const ID = 'a'.repeat(64)
const OTHER = 'b'.repeat(64)
const UID = '7c9e6679-7425-40de-944b-e07fc1f90ae7'

const segment = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom('kubepods', 'kubepods.slice', 'burstable', 'kubepods-burstable.slice', `pod${UID}`),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...[ID, OTHER, `docker-${ID}.scope`, `cri-containerd-${OTHER}.scope`, `crio-${ID}`],
      `kubepods-burstable-pod${UID.replaceAll('-', '_')}.slice`,
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom('user.slice', 'user-1000.slice', 'user@1000.service', 'system.slice', 'init.scope'),
  },
  { weight: 2, arbitrary: fc.constantFrom('docker', 'docker.service', 'x.service', 'lxc', '..', '.', '', 'kubelet') },
  { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom(...'ab-_.:\\/@0f \t'), maxLength: 70 }) },
)
const path = fc.array(segment, { maxLength: 7 }).map((segments) => `/${segments.join('/')}`)
const line = fc.oneof(
  { weight: 4, arbitrary: path.map((one) => `0::${one}`) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.nat(12), fc.constantFrom('memory', 'name=systemd', 'cpu,cpuacct'), path)
      .map((l) => l.join(':')),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 60 }) },
)
const text = fc.array(line, { maxLength: 5 }).map((lines) => `${lines.join('\n')}\n`)
const containers = (found: ReturnType<typeof containerOf>): readonly Container[] =>
  found.kind === 'container' ? [found.container, ...found.others] : []

describe('any control groups', () => {
  test('give a container, none, or a contradiction', () => {
    let named = 0
    always(20_000, fc.tuple(text, fc.oneof(text, fc.constant('0::/\n'))), ([cgroup, own]) => {
      for (const { containerId, podUid, places } of containers(containerOf(cgroup, own))) {
        named++
        expect(containerId).toMatch(/^[0-9a-f]{64}$/)
        expect(podUid ?? UID).toMatch(/^[0-9a-f-]{32,36}$/)
        // Nothing is made up: the name stands in the text.
        expect(cgroup).toContain(containerId)
        expect(places.length).toBeGreaterThan(0)
      }
    })
    expect(named).toBeGreaterThan(1_000)
  })

  test('below a user’s are never taken for the kubelet’s', () => {
    const below = fc
      .tuple(fc.constantFrom('user.slice', 'user-1000.slice'), path)
      .map(([user, rest]) => `0::/${user}${rest}\n`)
    always(10_000, below, (cgroup) => {
      for (const { trusted, madeByRoot } of containers(containerOf(cgroup, '0::/\n'))) {
        expect([trusted, madeByRoot]).toEqual(['engine-must-confirm', false])
      }
    })
  })

  test('say the same of a process, however often it is asked, and whatever line ends it', () => {
    always(2_000, text, (cgroup) => {
      expect(containerOf(cgroup, '0::/\n')).toEqual(containerOf(cgroup, '0::/\n'))
    })
  })
})

test('any mount table gives a container’s id and a mount’s, or none', () => {
  const field = fc.oneof(
    fc.constantFrom('36', '/', '/etc/hostname', `/var/lib/docker/containers/${ID}/hostname`, '-', 'ext4'),
    fc.string({ maxLength: 20 }),
  )
  const table = fc.array(
    fc.array(field, { maxLength: 10 }).map((fields) => fields.join(' ')),
    { maxLength: 6 },
  )
  always(10_000, table, (lines) => {
    const mountinfo = lines.join('\n')
    expect(mountedContainer(mountinfo) ?? ID).toMatch(/^[0-9a-f]{64}$/)
    expect(rootMount(mountinfo) ?? '').toBeTypeOf('string')
  })
})

test('long texts are read at once', () => {
  for (const one of [`0::${'/a'.repeat(500_000)}`, `0::/${'kubepods-'.repeat(100_000)}pod`, '0::/\n'.repeat(200_000)]) {
    expect(containerOf(one, '0::/\n')).toBeDefined()
    expect(mountedContainer(one)).toBeNull()
  }
})

test('lines come out whole, however the pieces fall', async () => {
  const lines = fc.array(fc.string({ unit: fc.constantFrom(...'aé{} "'), minLength: 1, maxLength: 20 }), {
    maxLength: 6,
  })
  await alwaysAsync(2_000, fc.tuple(lines, fc.array(fc.nat(200), { maxLength: 6 })), async ([texts, cuts]) => {
    const bytes = Buffer.from(texts.map((one) => `${one}\n`).join(''))
    const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
    const pieces = places.slice(1).map((end, i) => bytes.subarray(places[i], end))
    const body = (async function* () {
      yield* pieces
    })()
    const read: string[] = []
    for await (const one of linesOf(body, 1_000)) read.push(one)
    expect(read).toEqual(texts.map((one) => one.trim()).filter((one) => one !== ''))
  })
})
