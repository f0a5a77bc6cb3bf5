import { codeOf, messageOf } from '../errors.js'
import type { Files } from '../ports/files.js'
import { settingVariables } from './environment-tree.js'
import type { Environment } from './placeholders.js'
import type { Problem } from './problem.js'
import { emptySection, type Leaf, type Section } from './tree.js'
import { parseYamlFile } from './yaml-file.js'

const MAX_FILE_BYTES = 1024 * 1024

export interface ReadOptions {
  readonly path: string
  readonly env: Environment
  readonly files: Pick<Files, 'read'>
}

/** File and environment as one tree, and the problems of the file itself. */
export interface Reading {
  readonly tree: Section
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
  /** False if the file exists but could not be understood: then no setting is reported as missing. */
  readonly complete: boolean
  /** Leaves of the file that the environment has replaced. */
  readonly overridden: ReadonlyMap<string, Leaf>
}

/**
 * Reads the YAML file and expands placeholders; variables of the environment override its values. A missing file is a
 * warning. A file that cannot be read or is not YAML is a problem, and then only the environment is used.
 */
export async function readConfiguration({ path, env, files }: ReadOptions): Promise<Reading> {
  const { tree, problems, warnings, complete } = await readFile(path, env, files)
  const found = { problems: [...problems], warnings: [...warnings] }
  const overridden = new Map<string, Leaf>()
  const variables = new Map<string, string>()
  for (const { variable, key, leaf } of settingVariables(env)) {
    const replaced = put(tree, key.split('.'), leaf, found.problems)
    const twin = variables.get(key)
    variables.set(key, variable)
    if (twin !== undefined) {
      const problem = `is set by ${twin} too, which has no effect`
      found.warnings.push({ key, source: variable, problem, remedy: 'keep the one in upper case' })
    } else if (replaced !== null) {
      overridden.set(key, replaced)
      if (leaf.text === '' && replaced.text !== '' && leaf.unresolved.length === 0) {
        const problem = `is set back to its default by an empty variable, although ${replaced.source} has a value`
        found.warnings.push({ key, source: variable, problem, remedy: 'unset the variable, or give it a value' })
      }
    }
  }
  return { tree, ...found, complete, overridden }
}

async function readFile(
  path: string,
  env: Environment,
  files: Pick<Files, 'read'>,
): Promise<Omit<Reading, 'overridden'>> {
  const tree = emptySection(path)
  const about = { key: '(file)', source: path }
  let content: Buffer | null
  try {
    content = await files.read(path, { maxBytes: MAX_FILE_BYTES })
  } catch (error) {
    const remedy = codeOf(error) === 'file.too_large' ? 'give a smaller file' : 'make it a file that the agent may read'
    // The path is named beside the problem.
    const problem = `cannot be read: ${messageOf(error).split(`${path}: `).at(-1)}`
    return { tree, problems: [{ ...about, problem, remedy }], warnings: [], complete: false }
  }
  if (content === null) {
    const problem = 'does not exist, so only environment variables count'
    const remedy = 'create it, or name another with --config'
    return { tree, problems: [], warnings: [{ ...about, problem, remedy }], complete: true }
  }
  return { ...parseYamlFile(content, path, env), warnings: [] }
}

/** Puts a leaf at its place and returns the one that it replaced. */
function put(root: Section, names: readonly string[], leaf: Leaf, problems: Problem[]): Leaf | null {
  let section = root
  for (const [i, name] of names.slice(0, -1).entries()) {
    const next = section.entries.get(name)
    if (next?.kind === 'section') {
      section = next
      continue
    }
    if (next !== undefined && (next.kind === 'list' || next.text !== '')) {
      const key = names.slice(0, i + 1).join('.')
      const remedy = 'indent its settings below it'
      problems.push({ key, source: next.source, problem: 'is a section and cannot have a value itself', remedy })
    }
    const inner = emptySection(leaf.source)
    section.entries.set(name, inner)
    section = inner
  }
  const last = names.at(-1) ?? ''
  const before = section.entries.get(last)
  if (before?.kind === 'section') {
    const remedy = 'set its settings one by one, each with a variable of its own'
    problems.push({ key: names.join('.'), source: leaf.source, problem: 'is a section, not a setting', remedy })
    return null
  }
  section.entries.set(last, leaf)
  return before?.kind === 'list' ? { ...leaf, text: 'list', source: before.source, variables: [] } : (before ?? null)
}
