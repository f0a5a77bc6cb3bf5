import { logLevel as route, setLogLevel } from '../../admin/routes/log-level.js'
import { LOG_LEVELS } from '../../admin/sources.js'
import { parseDuration } from '../../config/duration.js'
import { ADMIN_HELP, ADMIN_OPTIONS, adminClient } from '../admin-access.js'
import { choice, misused, quoted, readArguments } from '../arguments.js'
import type { Command } from '../command.js'

const OPTIONS = { ...ADMIN_OPTIONS, for: { type: 'string' }, output: { type: 'string', short: 'o' } } as const

/** Shows or sets the log level of the running agent. */
export const logLevel: Command = {
  help: `Usage: icp-agent log-level [debug|info|warning|error] [--for DURATION] [-o pretty|json]

Shows the log level of the agent on this machine, or sets another one: for some time, or until a reload
changes logging.level or the agent restarts. Only root and the agent's own user may ask.

Options:
      --for DURATION    for how long, at most 1d: 90s, 10m, 2h
${ADMIN_HELP}
  -o, --output FORMAT   pretty (default) or json

Exit codes: 0 shown or set; 1 the agent cannot be asked; 2 wrong usage.

Example:
  sudo icp-agent log-level debug --for 10m
`,
  async run(args, io) {
    const { options, positionals } = readArguments(args, OPTIONS, 1)
    const json = choice(options.output, ['pretty', 'json'], '--output') === 'json'
    const [word] = positionals
    const level = word === undefined ? null : choice(word, LOG_LEVELS, 'the level')
    const seconds = secondsOf(options.for)
    if (level === null && seconds !== null) throw misused('--for needs a level: icp-agent log-level debug --for 10m')
    using client = await adminClient(options, io)
    const { path, signal } = { path: route.path, signal: io.signal }
    const answer =
      level === null
        ? await client.get(route.schema, path, signal)
        : await client.send(setLogLevel.schema, { method: 'PUT', path, body: { level, for_seconds: seconds }, signal })
    const until = answer.until === null ? '' : ` until ${answer.until}`
    const configured = answer.level === answer.configured ? '' : ` (configured: ${answer.configured})`
    io.stdout.write(json ? `${JSON.stringify(answer, null, 2)}\n` : `${answer.level}${until}${configured}\n`)
    return 0
  },
}

function secondsOf(text: string | undefined): number | null {
  if (text === undefined) return null
  const ms = parseDuration(text)
  if (ms === null || ms < 1 || ms > 86_400_000) throw misused(`--for is ${quoted(text)}; use 1s to 1d, such as 10m`)
  return ms / 1000
}
