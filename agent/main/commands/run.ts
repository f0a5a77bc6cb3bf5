import { readArguments } from '../arguments.js'
import type { Command } from '../command.js'

export const run: Command = {
  help: `Usage: icp-agent [run] [-c FILE]

Runs the agent until it receives SIGTERM, SIGINT or SIGQUIT. SIGHUP and SIGUSR2 reopen the log
file; SIGHUP also reloads the configuration, as \`icp-agent reload\` does.

Options:
  -c, --config FILE   the configuration; default: ./config.yaml, else /etc/icp-agent/config.yaml.
                      An environment variable overrides a setting: ICP_AGENT_AGENT__TENANT_ID
                      sets agent.tenant_id

Exit codes: 0 stopped; 1 failed; 2 the command line or the configuration is invalid.

Example:
  icp-agent --config /etc/icp-agent/config.yaml
`,
  async run(args, io) {
    const { options } = readArguments(args, { config: { type: 'string', short: 'c' } })
    // Signals are ignored until there is a log to reopen.
    using _ = io.onSignal?.(() => undefined)
    // The daemon takes long to load: report a mistake on the command line first.
    const { runAgent } = await import('../run.js')
    // The name in ps, pgrep and systemctl; by default it is that of a thread of Node.
    process.title = 'icp-agent'
    return await runAgent(options.config, io)
  },
}
