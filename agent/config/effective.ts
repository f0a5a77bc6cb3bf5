import { join } from 'node:path'
import { formOf } from './form.js'
import type { Environment } from './placeholders.js'
import { proxyOfEnvironment, proxyVariable } from './proxy.js'
import { SETTING_KEYS, SETTINGS, type SettingKey, type Values } from './schema.js'
import type { Setting } from './setting.js'
import type { SettingSource } from './tree.js'
import type { Understood } from './values.js'

/** One setting as it is in force. */
export interface EffectiveSetting {
  /** Null where the setting has no value. A secret is a `Secret`. */
  readonly value: unknown
  readonly source: SettingSource
}

/** Every setting as it is in force. */
export type EffectiveSettings = Readonly<Record<SettingKey, EffectiveSetting>>

/** The values, completed by those that are derived from other settings or from the machine if they are not set. */
export function effectiveValues(
  { values }: Pick<Understood, 'values'>,
  { env, hostname }: { readonly env: Environment; readonly hostname: string },
) {
  const nodeId = values['agent.node_id'] ?? hostname
  const { proxy, noProxy } = proxyOfEnvironment(env)
  const nodeName = values['attestation.kubernetes.node_name'] ?? (env['NODE_NAME']?.trim() || nodeId)
  return {
    ...values,
    'agent.node_id': nodeId,
    'attestation.kubernetes.node_name': nodeName,
    'attestation.kubernetes.kubelet_address':
      values['attestation.kubernetes.kubelet_address'] ?? `https://${nodeName}:10250`,
    'attestation.kubernetes.kubelet_ca_path':
      values['attestation.kubernetes.kubelet_ca_path'] ?? values['attestation.kubernetes.api_ca_path'],
    'icp_service.proxy': values['icp_service.proxy'] ?? proxy,
    'icp_service.no_proxy': values['icp_service.no_proxy'] ?? noProxy,
    'security.cache_path': values['security.cache_path'] ?? join(values['agent.data_dir'], 'cache', 'svid.cache'),
  } satisfies Values
}

/** The values that are in force. */
export type EffectiveValues = ReturnType<typeof effectiveValues>

/** The values of settings, without their sources. */
export function valuesOf(settings: EffectiveSettings): EffectiveValues {
  return Object.fromEntries(SETTING_KEYS.map((key) => [key, settings[key].value])) as EffectiveValues
}

/** Common environment variables that a setting without a value takes its value from. */
const FOLLOWED: Partial<Record<SettingKey, (env: Environment) => string | null>> = {
  'attestation.kubernetes.node_name': (env) => (env['NODE_NAME']?.trim() ? 'NODE_NAME' : null),
  'icp_service.proxy': (env) => proxyVariable(env, 'HTTPS_PROXY'),
  'icp_service.no_proxy': (env) => proxyVariable(env, 'NO_PROXY'),
}

/** Each value with its source. */
export function effectiveSettings(values: Values, understood: Understood, env: Environment): EffectiveSettings {
  const sourceOf = (key: SettingKey): SettingSource => {
    const source = understood.settingSource(key)
    const followed = source === 'default' ? FOLLOWED[key]?.(env) : null
    return followed ? { env: followed } : source
  }
  const rows = SETTING_KEYS.map((key) => [key, { value: values[key], source: sourceOf(key) }] as const)
  return Object.fromEntries(rows) as Record<SettingKey, EffectiveSetting>
}

/** A value in a form that may be shown. */
export type ShownValue = string | number | boolean | readonly string[] | null

/** The value as it would be written in the file: `6h`, `512MiB`. A secret is `[redacted]`. */
export function shownValue(key: SettingKey, value: unknown): ShownValue {
  const setting: Setting<unknown> = SETTINGS[key]
  if (value === null || value === undefined) return null
  if (setting.secret) return '[redacted]'
  const { write } = formOf(setting.parse)
  if (write) return write(value)
  if (typeof value === 'number' || typeof value === 'boolean') return value
  return Array.isArray(value) ? value.map(String) : String(value)
}
