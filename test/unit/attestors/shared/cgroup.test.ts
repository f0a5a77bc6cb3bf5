import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Container, containerOf } from '../../../../attestors/shared/cgroup.js'
import { ID, OTHER_POD, OUTER, type Outcome, POD, RECORDED, VICTIM } from './recorded-cgroups.js'

fc.configureGlobal({ seed: 1 })

const HOST = '0::/system.slice/icp-agent.service\n'

function outcomeOf(cgroup: string, own = HOST): Outcome {
  const found = containerOf(cgroup, own)
  if (found.kind !== 'container') return found.kind
  const { containerId, podUid, runtime, trusted, madeByRoot } = found.container
  return {
    id: containerId,
    ...(podUid !== null && { pod: podUid }),
    runtime,
    trusted,
    ...(!madeByRoot && { madeByRoot }),
    ...(found.others.length > 0 && { others: found.others.map((other) => other.containerId) }),
  }
}

describe('the control groups of the field', () => {
  it('there are at least sixty of them, all different', () => {
    expect(RECORDED.length).toBeGreaterThanOrEqual(60)
    expect(new Set(RECORDED.map(({ cgroup, own }) => `${cgroup}|${own}`)).size).toBe(RECORDED.length)
  })

  it.each(RECORDED.map((recorded) => [`${recorded.what} (${recorded.origin})`, recorded] as const))(
    '%s',
    (_name, { cgroup, own, is }) => {
      expect(outcomeOf(cgroup, own)).toEqual(is)
    },
  )
})

describe('the places of a container', () => {
  const placesOf = (cgroup: string): Container['places'] => {
    const found = containerOf(cgroup, HOST)
    return found.kind === 'container' ? found.container.places : []
  }

  it('are its own group in each hierarchy, without what is below', () => {
    expect(placesOf(`4:memory:/docker/${ID}/a\n1:name=systemd:/docker/${ID}/b/c\n0::/\n`)).toEqual([
      { hierarchy: 'memory', path: `/docker/${ID}` },
      { hierarchy: 'name=systemd', path: `/docker/${ID}` },
    ])
  })

  it('keep the levels that the cgroup namespace of the agent hides', () => {
    expect(placesOf(`0::/../../docker/${ID}/a\n`)).toEqual([{ hierarchy: '', path: `/../../docker/${ID}` }])
  })
})

const hex = fc.constantFrom(...'0123456789abcdef')
const id = fc.string({ unit: hex, minLength: 64, maxLength: 64 })
/** Names that anybody may give to a group below one that was handed to him: all but `..`, slashes and line feeds. */
const freeName = fc.oneof(
  fc.constantFrom(
    'kubepods',
    'kubepods.slice',
    'docker',
    'burstable',
    'system.slice',
    `pod${POD}`,
    'init.scope',
    'a:b',
  ),
  id.map((victim) => victim),
  id.map((victim) => `docker-${victim}.scope`),
  id.map((victim) => `kubepods-pod${OTHER_POD.replaceAll('-', '_')}.slice:cri-containerd:${victim}`),
  fc.string({ minLength: 1, maxLength: 20 }).filter((name) => !/[\n/]/.test(name) && !/^\.{1,2}$/.test(name)),
)
const below = fc.array(freeName, { maxLength: 8 }).map((names) => names.map((name) => `/${name}`).join(''))

/** What the processes of a container can bring about: they move further down in each hierarchy that names it. */
function movedDown(cgroup: string, home: string, path: string): string {
  const lines = cgroup.split('\n')
  return lines.map((line) => (line.includes(home) && !line.endsWith(')') ? line + path : line)).join('\n')
}

describe('whatever a workload writes', () => {
  it('below the group of its container, it is in that container', () => {
    // A container that the agent is in itself is the machine: what is below is taken for what it says.
    const homes = RECORDED.flatMap(({ is, ...home }) =>
      typeof is === 'object' && !home.own?.includes(is.id) ? [{ ...home, is }] : [],
    )
    fc.assert(
      fc.property(fc.constantFrom(...homes), below, ({ cgroup, own, is }, path) => {
        fc.pre(!path.endsWith(' (deleted)'))
        expect(outcomeOf(movedDown(cgroup, is.id, path), own)).toMatchObject({
          id: is.id,
          runtime: is.runtime,
          trusted: is.trusted,
          ...(is.pod !== undefined && { pod: is.pod }),
        })
      }),
      { numRuns: 1000 },
    )
  })

  it.each([
    '/user.slice/user-1000.slice/user@1000.service',
    '/system.slice/batch.service',
    '/user.slice/user-1000.slice/session-4.scope',
    '/../../user.slice/user-1000.slice/user@1000.service',
    '/../system.slice/batch.service',
    '/lxc.payload.web',
  ])('below %s, it is in no pod, and in no container that counts without the engine', (home) => {
    fc.assert(
      fc.property(below, (path) => {
        const found = containerOf(`0::${home}${path}\n`, '0::/\n')
        if (found.kind !== 'container') return
        for (const container of [found.container, ...found.others]) {
          expect(container.trusted).toBe('engine-must-confirm')
          expect(container.madeByRoot).toBe(false)
        }
      }),
    )
  })

  it('nothing makes the parser fail, and what it finds is well-formed', () => {
    const line = fc.oneof(
      fc.string({ maxLength: 80 }),
      fc.tuple(fc.constantFrom('', 'memory', 'name=systemd'), below).map(([on, path]) => `0:${on}:${path}`),
    )
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), fc.array(line, { maxLength: 12 }), (lines, own) => {
        const found = containerOf(lines.join('\n'), own.join('\n'))
        if (found.kind !== 'container') return
        for (const { containerId, podUid, places } of [found.container, ...found.others]) {
          expect(containerId).toMatch(/^[0-9a-f]{64}$/)
          expect(podUid ?? POD).toMatch(/^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/)
          expect(places.length).toBeGreaterThan(0)
          for (const { path } of places) expect(path).toContain(containerId)
        }
      }),
    )
  })

  it('a path that is long, deep and almost right is done with at once', () => {
    const deep = `/${'kubepods-'.repeat(25)}x/a`.repeat(200)
    expect(containerOf(`0::${deep}/docker/${VICTIM}\n`, `0::/docker/${OUTER}\n`)).toEqual({ kind: 'none' })
    const wide = `/${'kubepods-'.repeat(25)}pod${POD}.slice`.repeat(30)
    expect(outcomeOf(`0::${wide}/${VICTIM}\n`)).toMatchObject({ id: VICTIM, trusted: 'engine-must-confirm' })
  })
})
