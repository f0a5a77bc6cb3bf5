/** One hierarchy of `/proc/PID/cgroup`. */
export interface CgroupLine {
  /** `memory`, `name=systemd`; the empty text for cgroup v2. */
  readonly hierarchy: string
  /** The names on the path, outermost first, without leading `..`. */
  readonly segments: readonly string[]
  /** Number of leading `..` of the path: how far it begins above the reader's own group. */
  readonly hidden: number
}

/** More than any real system has. */
const MAX_LINES = 64
const MAX_SEGMENTS = 64

/**
 * cgroups(7): `hierarchy-id:controllers:path`. A path has no line feeds (the kernel refuses such names) but may have
 * colons. In a cgroup namespace, paths are relative to its root: `/../../ID`.
 */
export function cgroupLines(text: string): readonly CgroupLine[] {
  const lines: CgroupLine[] = []
  for (const line of text.split('\n', MAX_LINES)) {
    const first = line.indexOf(':')
    const second = line.indexOf(':', first + 1)
    const path = line.slice(second + 1)
    // A zombie's group may have been removed, and its path proves nothing.
    if (first === -1 || second === -1 || !path.startsWith('/') || path.endsWith(' (deleted)')) continue
    const all = path.split('/').filter((segment) => segment !== '')
    const hidden = all.findIndex((segment) => segment !== '..')
    const above = hidden === -1 ? all.length : hidden
    if (all.length > MAX_SEGMENTS) continue
    lines.push({ hierarchy: line.slice(first + 1, second), segments: all.slice(above), hidden: above })
  }
  return lines
}

/** The path of the group of the first `depth` names, as the file has it. */
export function pathTo({ segments, hidden }: CgroupLine, depth: number): string {
  return `/${[...Array<string>(hidden).fill('..'), ...segments.slice(0, depth)].join('/')}`
}

/** Number of leading names that both paths have in common. */
export function sharedDepth(line: CgroupLine, own: CgroupLine | undefined): number {
  if (!own || line.hidden > 0 || own.hidden > 0) return 0
  const differs = line.segments.findIndex((segment, i) => segment !== own.segments[i])
  return differs === -1 ? line.segments.length : differs
}
