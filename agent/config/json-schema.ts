import { formOf, type JsonSchema } from './form.js'
import { SETTING_KEYS, SETTINGS, type SettingKey } from './schema.js'
import { type Setting, typeOf } from './setting.js'

/** The address of the main branch's schema, from which editors fetch it. */
export const CONFIG_SCHEMA_ID =
  'https://raw.githubusercontent.com/authsec-ai/icp-agent/main/docs/schemas/config.schema.json'

/** A value may contain placeholders. */
const PLACEHOLDER: JsonSchema = { type: 'string', pattern: '\\$\\{' }
const NOTHING: JsonSchema = { enum: [null, ''] }

/** The JSON schema (2020-12) of the configuration file: for editors, and for checks before a file is installed. */
export function configSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: CONFIG_SCHEMA_ID,
    title: 'Configuration of icp-agent',
    ...section(''),
  }
}

/** The schema of a section, whose prefix ends with a dot, or of the whole file. Unknown keys are errors. */
function section(prefix: string): JsonSchema {
  const names = SETTING_KEYS.filter((key) => key.startsWith(prefix)).map(
    (key) => key.slice(prefix.length).split('.')[0],
  )
  const properties = [...new Set(names)].map((name = '') => {
    const key = `${prefix}${name}`
    return [name, isSettingKey(key) ? ofSetting(SETTINGS[key]) : section(`${key}.`)]
  })
  return { type: ['object', 'null'], additionalProperties: false, properties: Object.fromEntries(properties) }
}

function ofSetting(setting: Setting<unknown>): JsonSchema {
  const { schema } = formOf(setting.parse)
  return {
    description: `${setting.what} (${typeOf(setting)}; default: ${setting.default ?? setting.defaultIs})`,
    ...(setting.default ? { default: setting.default } : {}),
    anyOf: [...alternatives(schema), PLACEHOLDER, NOTHING],
  }
}

/** The members of a sole `anyOf`, so that editors offer its words. */
function alternatives(schema: JsonSchema): readonly unknown[] {
  return Array.isArray(schema['anyOf']) ? schema['anyOf'] : [schema]
}

function isSettingKey(key: string): key is SettingKey {
  return key in SETTINGS
}
