import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The directories of a process's control groups: one per hierarchy that is mounted here. */
export function groupsOf(pid: number | 'self'): readonly string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields.includes('cgroup') || fields.includes('cgroup2'))
  return readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
      const mount = mounts.find((fields) =>
        controllers === '' ? fields.includes('cgroup2') : (fields.at(-1) ?? '').split(',').includes(controllers),
      )
      return mount && path !== '' ? [join(mount[4] ?? '', path)] : []
    })
}

/** Control groups of a test's own, in every hierarchy, with a process in them; removed at the end. */
export class OwnGroups implements AsyncDisposable {
  #made: readonly string[] = []

  /** Below the groups of `above`, by this path; the process is moved there. */
  move(pid: number, above: number | 'self', path: string): void {
    const groups = groupsOf(above).map((group) => join(group, path))
    this.#made = [...this.#made, ...groups.flatMap((group) => [group, dirname(group)])]
    for (const group of groups) {
      make(group)
      writeFileSync(join(group, 'cgroup.procs'), String(pid))
    }
  }

  /** A process that has just been killed is in its group for a moment longer. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const group of this.#made) {
      for (let tries = 0; tries < 50 && !removed(group); tries++) await sleep(20)
    }
  }
}

/** With its missing parents. A new group of the cpuset controller of cgroup v1 has no processors until they are set. */
function make(group: string): void {
  if (existsSync(group)) return
  make(dirname(group))
  mkdirSync(group)
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const inherited = join(dirname(group), file)
    const isVersion1 =
      existsSync(join(group, 'cpuset.clone_children')) || existsSync(join(group, 'cgroup.clone_children'))
    if (isVersion1 && existsSync(inherited)) writeFileSync(join(group, file), readFileSync(inherited))
  }
}

/** A group that others still use, or that went with its container, is let be. */
function removed(group: string): boolean {
  try {
    rmdirSync(group)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT'
  }
}
