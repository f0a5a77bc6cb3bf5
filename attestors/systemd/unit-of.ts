import { type CgroupLine, cgroupLines } from '../shared/cgroup-lines.js'
import { containerName } from '../shared/cgroup-names.js'
import { isSliceBelow, unitOfGroup } from './unit-name.js'

/** A unit of the system's manager. */
export interface Unit {
  /** `nginx.service`, `session-3.scope`. */
  readonly id: string
  /** The innermost slice around it; `-.slice` at the top. */
  readonly slice: string
  /** The possible names of its control group: relative to the manager's top, or to the machine's. */
  readonly groups: readonly string[]
}

export type UnitOf =
  | { readonly kind: 'unit'; readonly unit: Unit }
  /** In no unit, or in one that could be a forgery. */
  | { readonly kind: 'none'; readonly why: string }

/** The hierarchies in which systemd tracks processes: cgroup v2, and its own one beside the controllers of v1. */
const TRACKED = ['', 'name=systemd']

/**
 * The unit that a process is in, by its `/proc/PID/cgroup` alone: the first group below the slices. Groups further down may
 * have been created by the unit itself (`Delegate=`, a user's manager), so their names prove nothing. All hierarchies must
 * agree, and a container below a service is not the service.
 *
 * `cgroup`: the text of `/proc/PID/cgroup`; `first`: that of `/proc/1/cgroup`, which shows the root of the manager's
 * groups. Pure; never throws.
 */
export function unitOf(cgroup: string, first: string): UnitOf {
  const tops = new Map(cgroupLines(first).map((line) => [line.hierarchy, topOf(line)]))
  const found: Unit[] = []
  const others: string[] = []
  const containers = new Set<string>()
  for (const line of cgroupLines(cgroup)) {
    const top = tops.get(line.hierarchy)
    const names = top ? below(line, top) : line.segments
    for (const name of names ?? line.segments) {
      const container = containerName(name)
      if (container) containers.add(container.id)
    }
    if (!top || !TRACKED.includes(line.hierarchy)) continue
    if (names === null) return none('its control group is not below those of the manager, as the agent sees them')
    const unit = unitOn(names, top)
    if (unit) found.push(unit)
    // The process is in the root of a hierarchy that is not in use.
    else if (names.length > 0) others.push(`/${names.join('/')}`)
  }
  const [unit] = found
  if (!unit)
    return none(others[0] === undefined ? 'it is in no control group of a unit' : `${others[0]} is not that of a unit`)
  if (others[0] !== undefined) return none(`hierarchies contradict one another: ${unit.id} and ${others[0]}`)
  if (found.some(({ groups }) => groups[0] !== unit.groups[0])) {
    return none(`hierarchies name units ${found.map(({ id }) => id).join(' and ')}`)
  }
  containers.delete(containerName(unit.id)?.id ?? '')
  const [container] = containers
  return container ? none(`it is in container ${container} below ${unit.id}`) : { kind: 'unit', unit }
}

/** systemd itself is in `init.scope`; older ones in a slice, or at the top. */
function topOf(line: CgroupLine): CgroupLine {
  const last = line.segments.at(-1)
  const inside = last === 'init.scope' || last === 'system.slice' || last === 'system'
  return inside ? { ...line, segments: line.segments.slice(0, -1) } : line
}

/** The names below the manager's top; null if the path is not below it, or has hidden names. */
function below(line: CgroupLine, top: CgroupLine): readonly string[] | null {
  if (line.hidden !== top.hidden || top.segments.some((name, i) => line.segments[i] !== name)) return null
  return line.segments.slice(top.segments.length)
}

function unitOn(names: readonly string[], top: CgroupLine): Unit | null {
  let slice: string | null = null
  let depth = 0
  for (const name of names) {
    if (!isSliceBelow(name, slice)) break
    slice = name
    depth++
  }
  const id = unitOfGroup(names[depth] ?? '')
  if (id === null) return null
  const path = names.slice(0, depth + 1)
  const groups = [`/${path.join('/')}`]
  if (top.segments.length > 0) groups.push(`/${[...top.segments, ...path].join('/')}`)
  return { id, slice: slice ?? '-.slice', groups }
}

function none(why: string): UnitOf {
  return { kind: 'none', why }
}
