/** Files that an engine creates for each container and mounts over those of the image. */
const MOUNTED = new Set(['/etc/hostname', '/etc/hosts', '/etc/resolv.conf'])
/** `…/containers/ID/hostname` (docker), `…/overlay-containers/ID/userdata/hostname` (podman). */
const MOUNT_ROOT = /\/(?:[a-z0-9]+-)?containers\/([0-9a-f]{64})\/(?:userdata\/)?[a-z.]+$/

/**
 * The container whose files are mounted, by the text of `/proc/PID/mountinfo`, or null. Any user can mount such files in a
 * mount namespace of their own, so this is only the container to ask the engine about. A pod's sandbox mounts such files
 * too, but from elsewhere, and is not a container.
 */
export function mountedContainer(mountinfo: string): string | null {
  for (const { root, mountPoint } of mounts(mountinfo)) {
    const id = MOUNTED.has(mountPoint) ? MOUNT_ROOT.exec(root)?.[1] : undefined
    if (id) return id
  }
  return null
}

/**
 * The id of the mount at `/`, or null. A mount is in one namespace only, and its id is unique on the machine while it
 * exists: two live processes with the same id share the mount namespace and the root.
 */
export function rootMount(mountinfo: string): string | null {
  // A later line hides an earlier one at the same place.
  let found: string | null = null
  for (const { id, mountPoint } of mounts(mountinfo)) if (mountPoint === '/') found = id
  return found
}

/** proc(5): mount id, parent, device, root within the file system, mount point, … Spaces in names are escaped. */
function* mounts(mountinfo: string): Generator<{ id: string; root: string; mountPoint: string }> {
  for (const line of mountinfo.split('\n')) {
    const [id, , , root, mountPoint] = line.split(' ', 5)
    if (id && root && mountPoint) yield { id, root, mountPoint }
  }
}
