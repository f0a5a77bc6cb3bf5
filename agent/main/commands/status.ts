import type { AdminClient } from '../../admin/client.js'
import { bundles } from '../../admin/routes/bundles.js'
import { denial } from '../../admin/routes/denial.js'
import { denials } from '../../admin/routes/denials.js'
import { entries } from '../../admin/routes/entries.js'
import { status as statusRoute } from '../../admin/routes/status.js'
import { workloads } from '../../admin/routes/workloads.js'
import { ADMIN_HELP, ADMIN_OPTIONS, adminClient } from '../admin-access.js'
import { choice, misused, quoted, readArguments } from '../arguments.js'
import type { Command } from '../command.js'

const OPTIONS = { ...ADMIN_OPTIONS, output: { type: 'string', short: 'o' } } as const
const LISTS = { workloads, entries, denials, bundles } as const

/** What a running agent says of itself. */
export const status: Command = {
  help: `Usage: icp-agent status [workloads|entries|denials [ID]|bundles] [-o json]

Asks the agent that runs on this machine how it is: health with reasons, the ICP server, its own SVID, entries,
workloads and denials. Only root and the user that the agent runs as may ask.

Options:
${ADMIN_HELP}
  -o, --output FORMAT   json

Exit codes: 0 shown, 1 the agent cannot be asked, 2 misused.

Example:
  sudo icp-agent status -o json
`,
  async run(args, io) {
    const { options, positionals } = readArguments(args, OPTIONS, 2)
    choice(options.output ?? 'json', ['json'], '--output')
    using client = await adminClient(options, io)
    const answer = await ask(client, positionals, io.signal)
    io.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
    return 0
  },
}

async function ask(client: AdminClient, [what, id]: readonly string[], signal: AbortSignal): Promise<object> {
  if (what === undefined) return await client.get(statusRoute.schema, statusRoute.path, signal)
  if (what === 'denials' && id !== undefined) {
    return await client.get(denial.schema, `/v1/denials/${encodeURIComponent(id)}`, signal)
  }
  if (id !== undefined || !Object.hasOwn(LISTS, what)) {
    throw misused(`status shows workloads, entries, denials [ID] or bundles, not ${quoted(id ?? what)}`)
  }
  const { schema, path } = LISTS[what as keyof typeof LISTS]
  return await client.list(schema, path, signal)
}
