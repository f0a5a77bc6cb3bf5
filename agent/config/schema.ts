import type { Setting } from './setting.js'
import { agentSettings } from './settings/agent.js'
import { attestationSettings } from './settings/attestation.js'
import { icpServiceSettings } from './settings/icp-service.js'
import { operationSettings } from './settings/operation.js'
import { sdsSettings } from './settings/sds.js'
import { securitySettings } from './settings/security.js'
import { workloadApiSettings } from './settings/workload-api.js'

/** Every setting by its key, in the order in which they are documented. */
export const SETTINGS = {
  ...agentSettings,
  ...icpServiceSettings,
  ...attestationSettings,
  ...securitySettings,
  ...workloadApiSettings,
  ...sdsSettings,
  ...operationSettings,
}

export type SettingKey = keyof typeof SETTINGS

type ValueOf<S> = S extends Setting<infer T> ? T : never

/** The value of every setting; null for an optional one that was not set. */
export type Values = { readonly [K in SettingKey]: ValueOf<(typeof SETTINGS)[K]> }

export const SETTING_KEYS = Object.keys(SETTINGS) as readonly SettingKey[]

/** Keys of sections: `agent`, `attestation`, `attestation.kubernetes`, … */
export const SECTION_KEYS: ReadonlySet<string> = new Set(
  SETTING_KEYS.flatMap((key) => {
    const names = key.split('.')
    return names.slice(0, -1).map((_, i) => names.slice(0, i + 1).join('.'))
  }),
)

/** Keys of the older daemon's files that have no effect any more, and their replacements. */
export const RETIRED: Readonly<Record<string, string>> = {
  plugins: 'the agent finds the platforms of the machine by itself',
  certificate_lifecycle: 'renewal follows agent.renewal_threshold',
  'metrics.enabled': 'metrics are served at /metrics while health.enabled is true',
  'metrics.interval': 'metrics are computed at each scrape',
  'metrics.format': 'metrics are in the Prometheus text format',
  'attestation.kubernetes.use_token_review': 'the ICP server reviews the token',
  'attestation.kubernetes.api_server_url': 'the API server is found by KUBERNETES_SERVICE_HOST',
}
