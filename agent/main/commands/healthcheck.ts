import { messageOf } from '../../errors.js'
import { printable } from '../../observability/printable.js'
import { httpGet } from '../../platform/http-get.js'
import { duration, misused, quoted, readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'
import { configuredValues } from '../configured-values.js'

const OPTIONS = {
  url: { type: 'string' },
  config: { type: 'string', short: 'c' },
  timeout: { type: 'string' },
} as const

export const healthcheck: Command = {
  name: 'healthcheck',
  summary: 'Tell whether the agent on this machine is ready.',
  help: `Usage: icp-agent healthcheck [--url URL | -c FILE] [--timeout DURATION]

Asks the agent whether it is ready to serve workloads, and says why where it is not.

Options:
  --url URL            default: /ready on health.bind_address and health.port of the configuration
  -c, --config FILE    default: ./config.yaml, then /etc/icp-agent/config.yaml
  --timeout DURATION   default 3s

Exit codes: 0 ready, 1 not ready or not running, 2 misused.

Example:
  icp-agent healthcheck --url http://127.0.0.1:8080/ready
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const timeoutMs = duration(options.timeout, 3_000, '--timeout')
    const url = options.url === undefined ? await configuredUrl(options.config, io) : parsed(options.url)
    const trouble = await ask(url, timeoutMs, io)
    io.stdout.write(trouble === null ? 'ready\n' : `not ready: ${printable(trouble)}\n`)
    return trouble === null ? 0 : 1
  },
}

/** Why the agent is not ready, or null where it is. */
async function ask(url: URL, timeoutMs: number, io: CommandIo): Promise<string | null> {
  try {
    const { status, body } = await httpGet(url, { timeoutMs, signal: io.signal })
    if (status >= 200 && status < 300) return null
    return reasonsOf(body) ?? `${url.href} answers ${status}`
  } catch (error) {
    io.signal.throwIfAborted()
    return `no agent answers at ${url.href} (${messageOf(error)})`
  }
}

async function configuredUrl(named: string | undefined, io: CommandIo): Promise<URL> {
  const values = await configuredValues(named, io)
  if (!values['health.enabled']) {
    throw misused(
      'health.enabled is false in the configuration, so that there is nothing to ask; name another with --url',
    )
  }
  const address = values['health.bind_address']
  const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[address] ?? (address.includes(':') ? `[${address}]` : address)
  return new URL(`http://${host}:${values['health.port']}/ready?verbose`)
}

function parsed(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol !== 'http:') throw misused(`--url must be an http:// address, not ${quoted(text)}`)
  return url
}

/** The agent's own words, from `{"ready":false,"reasons":[…]}`; null where the answer has none. */
function reasonsOf(body: string): string | null {
  try {
    const answer: unknown = JSON.parse(body)
    if (typeof answer !== 'object' || answer === null || !('reasons' in answer)) return null
    return Array.isArray(answer.reasons) && answer.reasons.length > 0 ? answer.reasons.join('; ') : null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}
