import { printable } from '../../observability/printable.js'
import { duration, misused, quoted, readArguments } from '../arguments.js'
import { askHealth } from '../ask-health.js'
import type { Command } from '../command.js'
import { configuredRespondents, respondentAt } from '../health-respondents.js'

const OPTIONS = {
  url: { type: 'string' },
  config: { type: 'string', short: 'c' },
  live: { type: 'boolean' },
  timeout: { type: 'string' },
} as const

export const healthcheck: Command = {
  help: `Usage: icp-agent healthcheck [--live] [-c FILE] [--url URL] [--timeout DURATION]

Asks the agent whether it is ready to serve workloads, and shows why not, or what is degraded. The
command asks on health.sock in agent.data_dir. With --url, and for users who may not open that socket,
it asks over TCP, where another process could answer: if there is a configuration on this machine, the
answer must have its account and node.

Options:
  --live               ask whether the agent is alive; it is not if a restart would help
  --url URL            ask this URL; default path /ready, with --live always /healthz
  -c, --config FILE    default: ./config.yaml, else /etc/icp-agent/config.yaml
  --timeout DURATION   default 3s

Exit codes: 0 ready (or alive); 1 not ready (or not alive), or not running; 2 wrong usage.

Example:
  icp-agent healthcheck --url http://127.0.0.1:8080/ready
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const timeoutMs = duration(options.timeout, 3_000, '--timeout')
    const url = options.url === undefined ? null : httpUrl(options.url)
    const respondents = url
      ? [await respondentAt(url, options.config, io)]
      : await configuredRespondents(options.config, io)
    const [yes, path] = options.live ? ['alive', '/healthz?verbose'] : ['ready', '/ready?verbose']
    const named = url && !options.live && url.pathname !== '/' ? url.pathname + url.search : null
    const { trouble, but } = await askHealth(respondents, named ?? path, timeoutMs, io.signal)
    const ready = but === null ? yes : `${yes}, but ${printable(but)}`
    io.stdout.write(trouble === null ? `${ready}\n` : `not ${yes}: ${printable(trouble)}\n`)
    return trouble === null ? 0 : 1
  },
}

function httpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol !== 'http:') throw misused(`--url must be an http:// address, not ${quoted(text)}`)
  return url
}
