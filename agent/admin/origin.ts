import type { Selectors } from '../identity/selector.js'

/** Where a process runs, as far as its selectors say. */
export interface Origin {
  /** The id of its container. */
  readonly container: string | null
  /** `namespace/name`. */
  readonly pod: string | null
  /** The systemd unit. */
  readonly unit: string | null
}

export function originOf(selectors: Selectors): Origin {
  const [namespace, name] = [selectors.get('k8s:ns'), selectors.get('k8s:pod-name')]
  return {
    container: selectors.get('docker:container-id') ?? null,
    pod: namespace !== undefined && name !== undefined ? `${namespace}/${name}` : null,
    unit: selectors.get('systemd:id') ?? null,
  }
}
