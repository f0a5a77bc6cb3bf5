import { type EffectiveSettings, type ShownValue, shownValue } from '../config/effective.js'
import { SETTING_KEYS } from '../config/schema.js'
import type { SettingSource } from '../config/tree.js'

/** Every setting as JSON; secrets are redacted. */
export function settingsDocument(
  settings: EffectiveSettings,
): Record<string, { readonly value: ShownValue; readonly source: SettingSource }> {
  return Object.fromEntries(
    SETTING_KEYS.map((key) => {
      const { value, source } = settings[key]
      return [key, { value: shownValue(key, value), source }]
    }),
  )
}
