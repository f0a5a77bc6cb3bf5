import { MAX_PID, explain as route } from '../../admin/routes/explain.js'
import { ADMIN_HELP, ADMIN_OPTIONS, adminClient } from '../admin-access.js'
import { choice, misused, readArguments, wholeNumber } from '../arguments.js'
import type { Command } from '../command.js'
import { explanationText } from '../explanation-text.js'
import { styleFor } from '../terminal/style.js'

const OPTIONS = {
  ...ADMIN_OPTIONS,
  pid: { type: 'string' },
  container: { type: 'string' },
  pod: { type: 'string' },
  denial: { type: 'string' },
  output: { type: 'string', short: 'o' },
} as const

const WIDTH = { least: 60, otherwise: 80, most: 120 } as const

/** Explains what a process would get now. */
export const explain: Command = {
  help: `Usage: icp-agent explain --pid N [-o pretty|json]
       icp-agent explain --container ID | --pod NAMESPACE/NAME | --denial ID

Asks the agent on this machine what a process would get now, and why: the selectors that each attestor
finds, unavailable platforms, the entries that match, the nearest other entries with the selectors that
are missing or different, and the decision. The agent decides as for a call, but requests and serves no
SVID, and logs and counts no denial. Only root and the agent's own user may ask.

Options:
  --pid N               the process with this pid, as the agent sees it
  --container ID        the first process of the container; 12 to 64 hex digits
  --pod NAMESPACE/NAME  the first process of each container of the pod
  --denial ID           the denial with the id that the caller was told: what the agent knew then, and
                        what the process would get now, if it still runs
${ADMIN_HELP}
  -o, --output FORMAT   pretty (default) or json

Exit codes: 0 every process would get an identity at once; 1 the agent cannot be asked, or there is no such
process; 2 wrong usage; 3 a process would wait or be refused, or has ended.

Example:
  sudo icp-agent explain --pid 4242
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const json = choice(options.output, ['pretty', 'json'], '--output') === 'json'
    const body = bodyOf(options)
    using client = await adminClient(options, io)
    const answer = await client.send(route.schema, { method: 'POST', path: route.path, body, signal: io.signal })
    const width = Math.min(Math.max(io.stdout.columns ?? WIDTH.otherwise, WIDTH.least), WIDTH.most)
    io.stdout.write(
      json ? `${JSON.stringify(answer, null, 2)}\n` : explanationText(answer, styleFor(io.stdout, io.env), width),
    )
    const { processes } = answer
    return processes.length > 0 && processes.every(({ decision }) => decision.kind === 'send') ? 0 : 3
  },
}

function bodyOf(options: Readonly<Partial<Record<'pid' | 'container' | 'pod' | 'denial', string>>>): object {
  const { pid, container, pod, denial } = options
  const given = Object.entries({ pid, container, pod, denial }).filter(([, value]) => value !== undefined)
  if (given.length !== 1) throw misused('explain needs one of --pid, --container, --pod and --denial')
  if (pid !== undefined) return { pid: wholeNumber(pid, [1, MAX_PID], '--pid') }
  const { success, error, data } = route.body.safeParse(Object.fromEntries(given))
  if (!success) throw misused(error.issues.map(({ path, message }) => `--${path.join('.')}: ${message}`).join('; '))
  return data
}
