import { choice, readArguments } from '../arguments.js'
import type { Command } from '../command.js'
import { agentVersion } from '../version.js'

export const version: Command = {
  help: `Usage: icp-agent version [-o pretty|json]

Prints the version of the agent and what it runs on.

Options:
  -o, --output FORMAT   pretty (default) or json

Example:
  icp-agent version -o json
`,
  async run(args, io) {
    const { options } = readArguments(args, { output: { type: 'string', short: 'o' } })
    const about = { version: agentVersion(), node: process.version, platform: process.platform, arch: process.arch }
    const json = choice(options.output, ['pretty', 'json'], '--output') === 'json'
    io.stdout.write(
      json
        ? `${JSON.stringify(about)}\n`
        : `icp-agent ${about.version} (Node ${about.node.slice(1)}, ${about.platform} ${about.arch})\n`,
    )
    return 0
  },
}
