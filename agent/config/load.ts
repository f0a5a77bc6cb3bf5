import { assemble } from './assemble.js'
import { check } from './checks.js'
import type { Config } from './config.js'
import { type EffectiveSettings, effectiveSettings, effectiveValues } from './effective.js'
import { invalidConfiguration, type Problem } from './problem.js'
import { checkProxy } from './proxy.js'
import { type Reading, type ReadOptions, readConfiguration } from './read.js'
import { SETTING_KEYS, SETTINGS } from './schema.js'
import type { Setting } from './setting.js'
import { nodeAt } from './tree.js'
import { unknownKeys } from './unknown-keys.js'
import { type Understood, understand } from './values.js'

export interface ConfigSources extends ReadOptions {
  /** No file was named, and none is at a default path: then no warning is given that it does not exist. */
  readonly absent?: true
  /** The machine's name: the default of `agent.node_id`. */
  readonly hostname: string
  /** True in a container: its host name does not last, so `agent.node_id` is required. */
  readonly insideContainer: boolean
  /** The base of relative paths; without it they are refused. */
  readonly workingDirectory?: string
}

export interface LoadedConfig {
  readonly config: Config
  /** Every setting with its value and its source. */
  readonly settings: EffectiveSettings
  /** Ignored, missing or doubtful settings; the caller logs each once. */
  readonly warnings: readonly Problem[]
  /**
   * Variables that secrets were read from. The caller deletes them from the environment, so that no child process inherits
   * them. `/proc/PID/environ` still shows them, because it shows the environment at the start of the process.
   */
  readonly secretVariables: readonly string[]
}

/**
 * The configuration from file, environment and defaults, or `config.invalid` with every problem in `details.problems`
 * (key, source, problem, remedy) and the warnings in `details.warnings`. Nothing but the file and the trust bundle is
 * read, and nothing is written.
 */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const reading = await readConfiguration(sources)
  const understood = understand(reading.tree, sources.workingDirectory)
  const { problems: proxyProblems, warnings: proxyWarnings } = checkProxy(understood, sources.env)
  const checks = await check(understood, sources)
  // A broken file may have set anything, so nothing is reported as missing.
  const missing = (problem: Problem) => problem.source === 'not set' && !reading.complete
  const problems = [...reading.problems, ...understood.problems, ...checks.problems, ...proxyProblems].filter(
    (problem) => !missing(problem),
  )
  const warnings = [
    ...reading.warnings,
    ...unknownKeys(reading.tree, sources.env),
    ...checks.warnings,
    ...proxyWarnings,
    ...tokenInEnvironment(reading, understood),
  ]
  // If settings are missing because the file is absent, that warning comes first.
  const unset = problems.some(({ source }) => source === 'not set')
  const ofFile = reading.warnings.filter(({ key }) => key === '(file)')
  const causes = unset ? ofFile : []
  const others = unset || sources.absent ? warnings.filter((warning) => !ofFile.includes(warning)) : warnings
  if (problems.length > 0) throw invalidConfiguration([...causes, ...problems], others)
  const values = effectiveValues(understood, sources)
  const settings = effectiveSettings(values, understood, sources.env)
  return {
    config: assemble(settings, sources.env),
    settings,
    warnings: others,
    secretVariables: secretVariables(reading),
  }
}

/** Users who may trace the process can read the token in its environment; a file can be removed and renewed. */
function tokenInEnvironment({ tree }: Reading, { isSet }: Understood): readonly Problem[] {
  const node = nodeAt(tree, 'agent.join_token')
  if (!isSet('agent.join_token') || node?.kind !== 'leaf' || node.variables.length === 0) return []
  return [
    {
      key: 'agent.join_token',
      source: node.variables.join(', '),
      problem:
        'stays readable in /proc/PID/environ for as long as the agent runs, though it is removed from there for children',
      remedy:
        'put the token into a file (mode 0600) and name it with agent.join_token_path; it can be renewed there as well',
    },
  ]
}

/** Includes variables whose value another one has overridden. */
function secretVariables({ tree, overridden }: Reading): readonly string[] {
  const names = SETTING_KEYS.filter((key) => (SETTINGS[key] as Setting<unknown>).secret === true).flatMap((key) => {
    const inForce = nodeAt(tree, key)
    return [inForce, overridden.get(key)].flatMap((node) => (node?.kind === 'leaf' ? node.variables : []))
  })
  return [...new Set(names)]
}
