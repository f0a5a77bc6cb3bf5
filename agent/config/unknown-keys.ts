import { misspelledVariables, variableOf } from './environment-tree.js'
import { foreignKey } from './foreign-keys.js'
import { nearestKey } from './nearest-key.js'
import type { Environment } from './placeholders.js'
import { type Problem, quote } from './problem.js'
import { RETIRED, SECTION_KEYS, SETTING_KEYS } from './schema.js'
import type { Section, TreeNode } from './tree.js'

const KNOWN: ReadonlySet<string> = new Set([...SETTING_KEYS, ...SECTION_KEYS])
const MAX_WARNINGS = 50

/** A warning for each unknown key, with the nearest known one. Keys below an unknown section are skipped. */
export function unknownKeys(tree: Section, env: Environment): readonly Problem[] {
  const warnings: Problem[] = []
  const visit = (section: Section, above: string) => {
    for (const [name, node] of section.entries) {
      const key = above === '' ? name : `${above}.${name}`
      if (!KNOWN.has(key)) warnings.push(unknown(key, node))
      else if (node.kind === 'section' && SECTION_KEYS.has(key)) visit(node, key)
    }
  }
  visit(tree, '')
  for (const { variable, key } of misspelledVariables(env, SETTING_KEYS)) {
    const problem = 'is not set by this variable, which has no effect'
    warnings.push({ key, source: variable, problem, remedy: `call it ${variableOf(key)}` })
  }
  return warnings.slice(0, MAX_WARNINGS)
}

function unknown(key: string, node: TreeNode): Problem {
  const { source } = node
  const shown = /^[\w.-]{1,100}$/.test(key) ? key : quote(key)
  const retired = Object.hasOwn(RETIRED, key) ? RETIRED[key] : undefined
  if (retired !== undefined) return { key: shown, source, problem: 'is no longer a setting', remedy: retired }
  const foreign = foreignKey(key)
  const problem = 'is not a setting and has no effect'
  if (foreign && 'remedy' in foreign) return { key: shown, source, problem, remedy: foreign.remedy }
  const nearest = foreign?.key ?? near(key, node)
  if (nearest === null) return { key: shown, source, problem, remedy: 'remove it; docs/configuration.md lists all' }
  const fromVariable = node.kind === 'leaf' && node.variables.includes(source)
  return { key: shown, source, problem, remedy: `did you mean ${fromVariable ? variableOf(nearest) : nearest}?` }
}

function near(key: string, node: TreeNode): string | null {
  if (node.kind === 'section') return nearestKey(key, SECTION_KEYS) ?? nearestKey(key, KNOWN)
  // A key with a value cannot be a section.
  return nearestKey(key, SETTING_KEYS) ?? (node.kind === 'leaf' && node.text === '' ? nearestKey(key, KNOWN) : null)
}
