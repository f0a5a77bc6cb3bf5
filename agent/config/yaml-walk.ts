import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type LineCounter,
  type Scalar,
  type YAMLMap,
} from 'yaml'
import { type Environment, expand } from './placeholders.js'
import type { Problem } from './problem.js'
import { emptySection, type Leaf, type Section, type TreeNode } from './tree.js'

/** Limit of nodes, counted after aliases are followed: a few nested aliases can expand to billions. */
const MAX_NODES = 10_000
const MAX_DEPTH = 16
const NULL = /^(?:|~|null|Null|NULL)$/

/** Walks one YAML document in its own order, so that an alias means the latest anchor before it, and builds a tree. */
export class YamlWalk {
  readonly #path: string
  readonly #env: Environment
  readonly #lines: LineCounter
  readonly #anchors = new Map<string, unknown>()
  readonly #problems: Problem[] = []
  #nodes = 0

  constructor(lines: LineCounter, path: string, env: Environment) {
    this.#path = path
    this.#env = env
    this.#lines = lines
  }

  /** `complete` is false if the document is not a mapping of sections. */
  read(document: Document.Parsed): { tree: Section; problems: readonly Problem[]; complete: boolean } {
    let tree = emptySection(this.#path)
    let complete = true
    const node = this.#node(document.contents, '', 0, this.#path)
    if (node.kind === 'section') tree = node
    else if (node.kind === 'list' || node.text !== '') {
      complete = false
      this.#problem('', node.source, 'is not a mapping of sections', 'begin it with a section, such as `agent:`')
    }
    if (this.#nodes > MAX_NODES) {
      const remedy = 'write the values out instead of using aliases'
      this.#problem('', this.#path, `expands to more than ${MAX_NODES} values`, remedy)
    }
    return { tree, problems: this.#problems, complete }
  }

  #node(node: unknown, key: string, depth: number, around: string): TreeNode {
    const source = this.#sourceOf(node) ?? around
    if (++this.#nodes > MAX_NODES) return leaf(source)
    if (depth > MAX_DEPTH) {
      this.#problem(key, source, 'is nested too deeply', 'the deepest setting lies three levels deep')
      return leaf(source)
    }
    if (isAlias(node)) {
      if (this.#anchors.has(node.source)) return this.#node(this.#anchors.get(node.source), key, depth + 1, source)
      this.#problem(key, source, 'is an alias of something that is not defined above it', 'put text with * in quotes')
      return leaf(source)
    }
    if (isNode(node) && node.anchor !== undefined) this.#anchors.set(node.anchor, node)
    if (isMap(node)) return this.#section(node, key, depth, source)
    if (isSeq(node)) {
      return { kind: 'list', items: node.items.map((item) => this.#node(item, key, depth + 1, source)), source }
    }
    return isScalar(node) ? this.#leaf(node, source) : leaf(source)
  }

  #section(map: YAMLMap, key: string, depth: number, source: string): Section {
    const section = emptySection(source)
    const seen = new Map<string, string>()
    for (const pair of map.items) {
      const at = this.#sourceOf(pair.key) ?? source
      if (!isScalar(pair.key)) {
        this.#problem(key, at, 'has a key that is not plain text', 'give the key a name')
        continue
      }
      const name = String(pair.key.value)
      const inner = key === '' ? name : `${key}.${name}`
      const before = seen.get(name)
      if (name === '<<') this.#problem(inner, at, 'is a merge key, which has no effect here', 'write the values out')
      else if (before !== undefined) {
        this.#problem(inner, at, `is given twice, first at ${before}`, 'keep one of the two')
      } else section.entries.set(name, this.#node(pair.value, inner, depth + 1, at))
      seen.set(name, before ?? at)
    }
    return section
  }

  #leaf(scalar: Scalar, source: string): Leaf {
    const written = String(scalar.value)
    if (scalar.type === 'PLAIN' && NULL.test(written)) return leaf(source)
    const { text, ...rest } = expand(written, this.#env)
    return { kind: 'leaf', text: text.trim(), source, ...rest }
  }

  #sourceOf(node: unknown): string | null {
    if (!isNode(node) || !node.range) return null
    return `${this.#path}:${this.#lines.linePos(node.range[0]).line}`
  }

  #problem(key: string, source: string, problem: string, remedy: string): void {
    if (this.#problems.length < 20) this.#problems.push({ key: key === '' ? '(file)' : key, source, problem, remedy })
  }
}

function leaf(source: string): Leaf {
  return { kind: 'leaf', text: '', source, variables: [], unresolved: [], malformed: null }
}
