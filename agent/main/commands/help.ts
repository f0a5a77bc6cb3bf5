import { readArguments } from '../arguments.js'
import type { Command } from '../command.js'
import { COMMANDS } from '../command-table.js'
import { overview } from '../overview.js'

/** Help without arguments; with the name of a command the dispatcher runs that command's `--help`. */
export const help: Command = {
  help: `Usage: icp-agent help [COMMAND]

Lists the commands, or shows the help of one, like \`icp-agent COMMAND --help\`.

Example:
  icp-agent help api fetch x509
`,
  async run(args, io) {
    readArguments(args, {})
    io.stdout.write(overview(COMMANDS, io.env, io.stdout))
    return 0
  },
}
