import { createHash } from 'node:crypto'
import type { Selectors } from '../identity/selector.js'
import type { CallerIds } from '../observability/observer.js'
import type { Who } from './records.js'

const MAX_TEXT = 4096
/** Cached by object: equal selectors of a workload stay the same object. */
const digests = new WeakMap<Selectors, string>()

/** The process, from the kernel and the attestors. */
export function whoOf({ pid, uid, gid }: CallerIds, selectors: Selectors): Who {
  const first = (...keys: readonly string[]): string | null => {
    const found = keys.map((key) => selectors.get(key)).find((value) => value !== undefined)
    return found === undefined ? null : found.slice(0, MAX_TEXT)
  }
  const [namespace, pod] = [first('k8s:ns'), first('k8s:pod-name')]
  return {
    pid,
    uid,
    gid,
    program: first('unix:path'),
    program_sha256: first('unix:sha256'),
    container: first('docker:container-id', 'k8s:container-name'),
    pod: namespace === null || pod === null ? null : `${namespace}/${pod}`,
    unit: first('systemd:id'),
    selectors_sha256: selectors.size === 0 ? null : digestOf(selectors),
  }
}

function digestOf(selectors: Selectors): string {
  const known = digests.get(selectors)
  if (known !== undefined) return known
  const sorted = [...selectors].sort(([a], [b]) => (a < b ? -1 : 1))
  const digest = createHash('sha256').update(JSON.stringify(sorted)).digest('hex')
  digests.set(selectors, digest)
  return digest
}
