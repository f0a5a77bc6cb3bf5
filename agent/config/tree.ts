/**
 * A configuration before its settings are parsed: sections, lists and texts, each with its place in the source. Every
 * value is text as it was written (`007` stays `007`); the type of its setting decides what it means.
 */
export type TreeNode = Section | List | Leaf

/** A value with its placeholders expanded; empty if nothing (or null) was written. */
export interface Leaf {
  readonly kind: 'leaf'
  readonly text: string
  /** `/etc/icp-agent/config.yaml:12`, or the name of a variable. */
  readonly source: string
  /** Variables that were expanded into the text. */
  readonly variables: readonly string[]
  /** Placeholders that could not be expanded; an error if the value takes effect. */
  readonly unresolved: readonly string[]
  readonly malformed: string | null
}

export interface List {
  readonly kind: 'list'
  readonly items: readonly TreeNode[]
  readonly source: string
}

export interface Section {
  readonly kind: 'section'
  readonly entries: Map<string, TreeNode>
  readonly source: string
}

export function emptySection(source: string): Section {
  return { kind: 'section', entries: new Map(), source }
}

/** The node at a dotted key, or null. */
export function nodeAt(root: Section, key: string): TreeNode | null {
  let node: TreeNode = root
  for (const name of key.split('.')) {
    if (node.kind !== 'section') return null
    const next: TreeNode | undefined = node.entries.get(name)
    if (next === undefined) return null
    node = next
  }
  return node
}

/**
 * The source of a setting's value: a line of the file (with the variables that its placeholders name), a variable of the
 * environment, or the default.
 */
export type SettingSource =
  | { readonly file: string; readonly line: number; readonly variables: readonly string[] }
  | { readonly env: string }
  | 'default'

/** The source of a node in its parts. */
export function settingSource(node: TreeNode): SettingSource {
  const leaves = node.kind === 'leaf' ? [node] : node.kind === 'list' ? node.items.filter(isLeaf) : []
  const variables = [...new Set(leaves.flatMap((leaf) => leaf.variables))]
  // If a variable sets the key, it is the leaf's source and the first of its variables.
  if (node.kind === 'leaf' && node.variables[0] === node.source) return { env: node.source }
  const colon = node.source.lastIndexOf(':')
  return { file: node.source.slice(0, colon), line: Number(node.source.slice(colon + 1)), variables }
}

/** `config.yaml:3 (NAME)`, the name of a variable, or `default`. */
export function sourceText(source: SettingSource): string {
  if (source === 'default') return 'default'
  if ('env' in source) return source.env
  const variables = source.variables.length > 0 ? ` (${source.variables.join(', ')})` : ''
  return `${source.file}:${source.line}${variables}`
}

/** True for a single value. */
export function isLeaf(node: TreeNode): node is Leaf {
  return node.kind === 'leaf'
}
