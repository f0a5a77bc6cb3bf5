import type { WithdrawnSelectors, WorkloadAttestor } from '../agent/attestation/attestor.js'
import { platformOf } from '../agent/identity/selector.js'
import type { AttestorConfig } from './index.js'

/** The attestors of one configuration. */
export interface Attesting {
  readonly settings: AttestorConfig['attestation']
  readonly attestors: readonly WorkloadAttestor[]
}

/**
 * The old selectors that a change of settings withdraws. Selectors of a platform that stays on are kept until the next
 * attestation, and longer while the platform is unavailable, unless the new rules are stricter.
 */
export function withdrawnSelectors(before: Attesting, after: Attesting): WithdrawnSelectors {
  const spokenFor = new Map(after.attestors.map(({ name, platforms }) => [name, new Set(platforms)]))
  const turnedOff = (attestor: string, key: string) => !spokenFor.get(attestor)?.has(platformOf(key))
  const [old, now] = [before.settings, after.settings]
  const forgeable = old.unix.forgeable && !now.unix.forgeable
  const merged = old.docker.imageLabels === 'merged' && now.docker.imageLabels === 'separate'
  const kept = new Set(now.kubernetes.authsecNamespaces)
  const fewer = old.kubernetes.authsecNamespaces.some((namespace) => !kept.has(namespace))
  return {
    now: (attestor, key) => turnedOff(attestor, key) || (forgeable && key === 'unix:process'),
    next: (attestor, key) =>
      (merged && attestor === 'docker' && key.startsWith('docker:label:')) ||
      (fewer && attestor === 'kubernetes' && platformOf(key) === 'authsec'),
  }
}
