import type { Files } from '../../agent/ports/files.js'

const MAX_BYTES = 1024 * 1024
/** Files that an engine makes per container and mounts over those of the image. */
const MOUNTED = new Set(['/etc/hostname', '/etc/hosts', '/etc/resolv.conf'])
/** `…/containers/ID/hostname` (docker), `…/overlay-containers/ID/userdata/hostname` (podman). */
const MOUNT_ROOT = /\/(?:[a-z]+-)?containers\/([0-9a-f]{64})\/(?:userdata\/)?[a-z.]+$/
/** `/docker/ID`, `/system.slice/docker-ID.scope`, `/machine.slice/libpod-ID.scope/container`. */
const CGROUP_SEGMENT = /^(?:(?:docker|libpod|crio|cri-containerd)-)?([0-9a-f]{64})(?:\.scope)?$/

/**
 * The id of the container that this process runs in, by what the kernel shows of it, or null. A marker such as
 * `/.dockerenv` is no proof: it stays in the file systems of machines that were made from an image. A pod's sandbox
 * also mounts such files, but from elsewhere; it is not taken for a container.
 */
export async function ownContainerId(files: Pick<Files, 'read'>, self = '/proc/self'): Promise<string | null> {
  const read = async (name: string) =>
    (await files.read(`${self}/${name}`, { maxBytes: MAX_BYTES }))?.toString('utf8') ?? ''
  return fromMounts(await read('mountinfo')) ?? fromCgroup(await read('cgroup'))
}

/** proc(5), mountinfo: the fourth field is the root of the mount within its file system, the fifth the mount point. */
function fromMounts(mountinfo: string): string | null {
  for (const line of mountinfo.split('\n')) {
    const [, , , root, mountPoint] = line.split(' ')
    if (!root || !mountPoint || !MOUNTED.has(mountPoint)) continue
    const id = MOUNT_ROOT.exec(root)?.[1]
    if (id) return id
  }
  return null
}

/** cgroups(7): `hierarchy:controllers:path`. The innermost id counts: engines run in containers too. */
function fromCgroup(cgroup: string): string | null {
  for (const line of cgroup.split('\n')) {
    const path = line.split(':').slice(2).join(':')
    for (const segment of path.split('/').reverse()) {
      const id = CGROUP_SEGMENT.exec(segment)?.[1]
      if (id) return id
    }
  }
  return null
}
