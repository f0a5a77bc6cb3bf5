import { isAbsolute, resolve } from 'node:path'
import { variableOf } from './environment-tree.js'
import type { Problem } from './problem.js'
import { SECTION_KEYS, SETTING_KEYS, SETTINGS, type SettingKey, type Values } from './schema.js'
import type { Setting } from './setting.js'
import { isLeaf, type Leaf, nodeAt, type Section, type SettingSource, settingSource, type TreeNode } from './tree.js'

/** The values of a tree; each missing or wrong one is replaced by its default. */
export interface Understood {
  readonly values: Values
  /** The source of each value; `not set` for a default. */
  sourceOf(key: SettingKey): string
  /** The same in its parts. */
  settingSource(key: SettingKey): SettingSource
  /** True if a value was written, right or wrong. */
  isSet(key: SettingKey): boolean
  readonly problems: readonly Problem[]
}

/** Parses each setting of a tree by itself. Relative paths are resolved against `workingDirectory`. */
export function understand(tree: Section, workingDirectory: string | undefined): Understood {
  const problems: Problem[] = []
  const written = new Map<SettingKey, TreeNode>()
  const values: Partial<Record<SettingKey, unknown>> = {}
  for (const key of SETTING_KEYS) {
    const setting: Setting<unknown> = SETTINGS[key]
    const node = nodeAt(tree, key)
    if (node !== null && !(isLeaf(node) && node.text === '' && usable(node))) written.set(key, node)
    const given = written.get(key)
    const result = given === undefined ? null : read(key, setting, given, workingDirectory)
    if (result !== null && 'problems' in result) problems.push(...result.problems)
    values[key] = result !== null && 'value' in result ? result.value : defaultOf(setting)
  }
  problems.push(...misplaced(tree))
  return {
    values: values as Values,
    sourceOf: (key) => written.get(key)?.source ?? nodeAt(tree, key)?.source ?? 'not set',
    settingSource: (key) => {
      const node = written.get(key)
      return node === undefined ? 'default' : settingSource(node)
    },
    isSet: (key) => written.has(key),
    problems,
  }
}

function read(
  key: SettingKey,
  setting: Setting<unknown>,
  node: TreeNode,
  workingDirectory: string | undefined,
): { value: unknown } | { problems: readonly Problem[] } {
  const about = { key, source: node.source }
  if (node.kind === 'section') {
    return {
      problems: [{ ...about, problem: 'is a setting, not a section', remedy: `give one value (${setting.kind})` }],
    }
  }
  const leaves = node.kind === 'leaf' ? [node] : node.items.filter(isLeaf)
  const unusable = leaves.filter((leaf) => !usable(leaf))
  if (unusable.length > 0) return { problems: unusable.map((leaf) => placeholderProblem(key, leaf)) }
  const input = node.kind === 'list' ? leaves.map((leaf) => leaf.text) : absolute(node.text, setting, workingDirectory)
  if (node.kind === 'list' && leaves.length < node.items.length) {
    return {
      problems: [{ ...about, problem: 'must be a list of strings', remedy: `give one value (${setting.kind})` }],
    }
  }
  const result = setting.parse.safeParse(input)
  if (result.success) return { value: result.data }
  return {
    problems: result.error.issues.map((issue) => {
      const remedy = issue.code === 'custom' ? issue.params?.['remedy'] : undefined
      return {
        ...about,
        problem: issue.message,
        remedy: typeof remedy === 'string' ? remedy : `give one value (${setting.kind})`,
      }
    }),
  }
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: this is how placeholders are written in the file
const PLACEHOLDER_REMEDY = 'write ${NAME} or ${NAME:-default}, and $${ for a literal ${'

function placeholderProblem(key: SettingKey, leaf: Leaf): Problem {
  const about = { key, source: leaf.source }
  if (leaf.malformed !== null) {
    return { ...about, problem: leaf.malformed, remedy: PLACEHOLDER_REMEDY }
  }
  const names = leaf.unresolved.join(' and ')
  const are = leaf.unresolved.length === 1 ? 'is' : 'are'
  const remedy = `set ${names}, give a default (\${${leaf.unresolved[0]}:-…}), or set ${variableOf(key)}`
  return { ...about, problem: `needs ${names}, which ${are} not set`, remedy }
}

/** Keys of sections that hold a text or a list. */
function misplaced(tree: Section): readonly Problem[] {
  return [...SECTION_KEYS].flatMap((key) => {
    const node = nodeAt(tree, key)
    if (node === null || node.kind === 'section' || (node.kind === 'leaf' && node.text === '')) return []
    const remedy = 'indent its settings below it'
    return [{ key, source: node.source, problem: 'is a section and has no value itself', remedy }]
  })
}

/** Makes a relative path absolute and `unix:///path` a path; the type of the setting refuses anything else. */
function absolute(text: string, setting: Setting<unknown>, workingDirectory: string | undefined): string {
  if (setting.path === undefined) return text
  const path = setting.path === 'socket' ? text.replace(/^unix:(?:\/\/(?=\/)|(?=\/(?!\/)))/i, '') : text
  if (isAbsolute(path)) return path.endsWith('/') ? path : resolve(path)
  if (workingDirectory === undefined || /^\w+:/.test(path) || path.endsWith('/')) return path
  return resolve(workingDirectory, path)
}

function defaultOf(setting: Setting<unknown>): unknown {
  return setting.default === null ? null : setting.parse.parse(setting.default)
}

function usable(leaf: Leaf): boolean {
  return leaf.unresolved.length === 0 && leaf.malformed === null
}
