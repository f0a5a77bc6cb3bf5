import { existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'

/** The inputs of a configuration besides its file. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly hostname: string
  readonly insideContainer: boolean
  readonly workingDirectory: string
}

/** The surroundings of this process, read now. */
export function surroundings(env: Surroundings['env'] = process.env): Surroundings {
  return { env, hostname: hostname(), insideContainer: insideContainer(env), workingDirectory: process.cwd() }
}

/** Removes variables from this process's environment, so that no child process inherits them. */
export function forgetVariables(names: readonly string[]): void {
  for (const name of names) delete process.env[name]
}

/** Files that Docker and podman put into every container. */
const MARKS = ['/.dockerenv', '/run/.containerenv']
/** Where engines keep the layers that a container's root file system is mounted from. */
const LAYERS = /\/(?:docker|containerd|containers\/storage|crio)\b/

/**
 * True in a container of an engine or of Kubernetes, whose host name does not last. A system container that boots like a
 * machine (nspawn, LXC) does not count.
 */
export function insideContainer(
  env: Surroundings['env'],
  exists: (path: string) => boolean = existsSync,
  mountinfo: () => string = readMountinfo,
): boolean {
  if (env['KUBERNETES_SERVICE_HOST'] || MARKS.some(exists)) return true
  // 36 35 98:0 / / rw,noatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/…
  return mountinfo()
    .split('\n')
    .some((line) => line.split(' ')[4] === '/' && / - overlay /.test(line) && LAYERS.test(line))
}

function readMountinfo(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'latin1')
  } catch (error) {
    // Without /proc the mounts are unknown, and the other signs decide.
    if (error instanceof Error) return ''
    throw error
  }
}
