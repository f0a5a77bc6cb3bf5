import { type Environment, expand } from './placeholders.js'
import type { Leaf } from './tree.js'

const PREFIX = 'ICP_AGENT_'

/** A variable that is meant for a setting: `ICP_AGENT_AGENT__TENANT_ID` for `agent.tenant_id`. */
export interface SettingVariable {
  /** The name as it is in the environment. */
  readonly variable: string
  readonly key: string
  readonly leaf: Leaf
}

/** The variable that sets a key. */
export function variableOf(key: string): string {
  return PREFIX + key.split('.').join('__').toUpperCase()
}

/**
 * All variables `ICP_AGENT_<SECTION>__<KEY>` in any case, sorted by name. If two differ only in case, the one in upper
 * case comes last, and so takes effect.
 */
export function settingVariables(env: Environment): readonly SettingVariable[] {
  const names = Object.keys(env).filter((name) => name.toUpperCase().startsWith(PREFIX) && name.includes('__'))
  const lowerCaseFirst = (a: string, b: string) => (a > b ? -1 : a < b ? 1 : 0)
  return names.sort(lowerCaseFirst).flatMap((variable) => {
    const value = env[variable]
    if (value === undefined) return []
    const key = variable.slice(PREFIX.length).toLowerCase().split('__').join('.')
    const { text, variables, ...rest } = expand(value, env)
    const leaf: Leaf = {
      kind: 'leaf',
      text: text.trim(),
      source: variable,
      variables: [variable, ...variables],
      ...rest,
    }
    return [{ variable, key, leaf }]
  })
}

/**
 * Variables with our prefix but without the double underscore of a setting, and the key that was probably meant:
 * `ICP_AGENT_TENANT_ID` for `agent.tenant_id`. Variables that Kubernetes sets for a Service named icp-agent
 * (`ICP_AGENT_PORT=tcp://…`) are not among them.
 */
export function misspelledVariables(
  env: Environment,
  keys: readonly string[],
): readonly { variable: string; key: string }[] {
  return Object.keys(env)
    .filter((name) => name.toUpperCase().startsWith(PREFIX) && !name.includes('__'))
    .filter((name) => !/^(?:tcp|udp|sctp):\/\//.test(env[name] ?? ''))
    .flatMap((variable) => {
      const rest = variable.slice(PREFIX.length).toLowerCase()
      const meant = keys.filter((key) => key.replaceAll('.', '_') === rest || key.endsWith(`.${rest}`))
      return meant.length === 1 && meant[0] !== undefined ? [{ variable, key: meant[0] }] : []
    })
    .sort((a, b) => (a.variable < b.variable ? -1 : 1))
}
