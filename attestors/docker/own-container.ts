import type { Files } from '../../agent/ports/files.js'
import { containerOf } from '../shared/cgroup.js'
import { mountedContainer } from '../shared/mountinfo.js'

const MAX_BYTES = 1024 * 1024

/**
 * The id of the container that this process runs in, from the kernel's files, or null. A marker such as `/.dockerenv` is
 * no proof: it remains in file systems of machines that were made from an image.
 */
export async function ownContainerId(files: Pick<Files, 'read'>, self = '/proc/self'): Promise<string | null> {
  const read = async (name: string) =>
    (await files.read(`${self}/${name}`, { maxBytes: MAX_BYTES }))?.toString('utf8') ?? ''
  return mountedContainer(await read('mountinfo')) ?? innermost(await read('cgroup'))
}

/** Engines may run in containers, so the innermost container is ours. */
function innermost(cgroup: string): string | null {
  const found = containerOf(cgroup, '')
  if (found.kind !== 'container') return null
  return (found.others.at(-1) ?? found.container).containerId
}
