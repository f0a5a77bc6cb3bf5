import { Secret } from '../crypto/secret.js'
import { type EffectiveSettings, type ShownValue, shownValue } from './effective.js'
import { SETTING_KEYS, SETTINGS, type SettingKey } from './schema.js'
import type { Setting } from './setting.js'

/** A setting whose value differs. Secrets are shown as `[redacted]`. */
export interface SettingChange {
  readonly key: SettingKey
  readonly from: ShownValue
  readonly to: ShownValue
}

/** Changes that a reload puts into force, and changes that need a restart. */
export interface ConfigDifference {
  readonly live: readonly SettingChange[]
  readonly restart: readonly SettingChange[]
}

/** A key that is not set takes its value from another key; if that one needs a restart, so does this one. */
const FOLLOWS: Partial<Record<SettingKey, SettingKey>> = {
  'attestation.kubernetes.kubelet_address': 'attestation.kubernetes.node_name',
}

/** How two effective configurations differ. */
export function difference(before: EffectiveSettings, after: EffectiveSettings): ConfigDifference {
  const changes = SETTING_KEYS.filter((key) => !sameValue(before[key].value, after[key].value)).map((key) => ({
    key,
    from: shownValue(key, before[key].value),
    to: shownValue(key, after[key].value),
  }))
  return {
    live: changes.filter(({ key }) => isLive(key, before, after)),
    restart: changes.filter(({ key }) => !isLive(key, before, after)),
  }
}

/** The settings after the reload: those that need a restart keep their former values. */
export function reloaded(before: EffectiveSettings, after: EffectiveSettings): EffectiveSettings {
  const rows = SETTING_KEYS.map((key) => [key, isLive(key, before, after) ? after[key] : before[key]] as const)
  return Object.fromEntries(rows) as Record<SettingKey, EffectiveSettings[SettingKey]>
}

/** Settings whose values come from environment variables, so that the file has no effect on them. */
export function fixedByEnvironment(settings: EffectiveSettings): readonly SettingKey[] {
  return SETTING_KEYS.filter((key) => {
    const { source } = settings[key]
    return source !== 'default' && 'env' in source
  })
}

function isLive(key: SettingKey, before: EffectiveSettings, after: EffectiveSettings): boolean {
  const followed = before[key].source === 'default' && after[key].source === 'default' ? FOLLOWS[key] : undefined
  return (SETTINGS[followed ?? key] as Setting<unknown>).reload === 'live'
}

function sameValue(a: unknown, b: unknown): boolean {
  if (a instanceof Secret && b instanceof Secret) return sameValue(a.reveal(), b.reveal())
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b)
  if (a instanceof Secret || b instanceof Secret) return false
  return JSON.stringify(a) === JSON.stringify(b)
}
