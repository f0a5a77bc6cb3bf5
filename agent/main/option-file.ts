import { resolve } from 'node:path'
import type { TreeNode } from '../config/tree.js'
import { parseYamlFile } from '../config/yaml-file.js'
import { AgentError } from '../errors.js'
import { misused, type OptionTable, type OptionValues, quoted, readArguments } from './arguments.js'
import type { CommandIo } from './command.js'
import { namedFile } from './named-file.js'

const MAX_BYTES = 256 * 1024

/**
 * The options of a YAML file whose keys are the names of the options (`key-mode` or `key_mode`), with those of the
 * command line put over them. Throws `command.misused`, `config.invalid`, `file.io`.
 */
export async function withOptionFile<T extends OptionTable>(
  table: T,
  file: string,
  given: OptionValues<T>,
  io: Pick<CommandIo, 'env'>,
): Promise<OptionValues<T>> {
  const path = resolve(file)
  const content = await namedFile(path, MAX_BYTES, '--config')
  const { tree, problems } = parseYamlFile(content, path, io.env)
  if (problems.length > 0) throw new AgentError('config.invalid', `${path} is not usable`, { details: { problems } })
  const args = [...tree.entries].flatMap(([key, node]) => {
    const name = key.replaceAll('_', '-')
    if (name === 'config') throw misused(`${node.source}: a file cannot name another one`)
    return values(node).flatMap((text) => argument(table, name, text, node.source))
  })
  return { ...readArguments(args, table).options, ...given }
}

function argument(table: OptionTable, name: string, text: string, source: string): readonly string[] {
  if (!Object.hasOwn(table, name)) throw misused(`${source}: there is no option ${quoted(name)}`)
  if (table[name]?.type !== 'boolean') return [`--${name}=${text}`]
  if (text !== 'true' && text !== 'false') throw misused(`${source}: ${name} must be true or false`)
  return text === 'true' ? [`--${name}`] : []
}

function values(node: TreeNode): readonly string[] {
  if (node.kind === 'list') return node.items.flatMap(values)
  if (node.kind === 'section') throw misused(`${node.source}: the value of an option is text, or a list of texts`)
  if (node.unresolved.length > 0 || node.malformed !== null) {
    throw misused(`${node.source}: a placeholder in it cannot be expanded`)
  }
  return [node.text]
}
