import { configSchema } from '../../config/json-schema.js'
import { readArguments } from '../arguments.js'
import type { Command } from '../command.js'

/** Prints the JSON schema of the configuration file. */
export const printConfigSchema: Command = {
  help: `Usage: icp-agent config schema

Prints the JSON schema of the configuration file, for editors and for checks in pipelines. It has names,
types and ranges; \`icp-agent validate\` also checks how settings fit together, and files of this machine.

Exit codes: 0 printed; 2 wrong usage.

Example:
  icp-agent config schema > icp-agent.schema.json
`,
  async run(args, io) {
    readArguments(args, {})
    io.stdout.write(`${JSON.stringify(configSchema(), null, 2)}\n`)
    return 0
  },
}
