import type { TextSink } from './command.js'
import type { ListedCommand } from './command-table.js'
import { styleFor } from './terminal/style.js'
import { table } from './terminal/table.js'

/** The list of commands, as `icp-agent help` prints it. */
export function overview(
  rows: readonly ListedCommand[],
  env: Readonly<Record<string, string | undefined>>,
  sink: TextSink,
): string {
  const { bold, dim, cyan } = styleFor(sink, env)
  const list = table(
    [{ paint: cyan }, {}],
    rows.map(({ name, summary }) => [name, summary]),
  )
  return `${bold('icp-agent')} gives every process on this machine a SPIFFE identity, issued by an ICP server.

${bold('Usage')}
  icp-agent [COMMAND] [OPTIONS]

${bold('Commands')}
${list}
${dim('`icp-agent COMMAND --help` explains a command, with an example.')}
`
}
