import { reload as route } from '../../admin/routes/reload.js'
import { describeProblem } from '../../config/problem.js'
import { printable } from '../../observability/printable.js'
import { ADMIN_HELP, ADMIN_OPTIONS, adminClient } from '../admin-access.js'
import { choice, readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'

const OPTIONS = { ...ADMIN_OPTIONS, output: { type: 'string', short: 'o' } } as const

type ReloadAnswer = Awaited<ReturnType<typeof route.schema.parse>>

/** Makes the running agent read its configuration again. */
export const reload: Command = {
  help: `Usage: icp-agent reload [-o pretty|json]

Makes the agent on this machine read its configuration again, and waits for the result. Shows which
settings changed, which need a restart, and which the environment sets. An invalid configuration changes
nothing, and the command lists its problems. Only root and the agent's own user may ask.

Options:
${ADMIN_HELP}
  -o, --output FORMAT   pretty (default) or json

Exit codes: 0 reloaded; 1 the configuration is invalid or the agent cannot be asked; 2 wrong usage.

Example:
  sudo icp-agent reload
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const json = choice(options.output, ['pretty', 'json'], '--output') === 'json'
    using client = await adminClient(options, io)
    const call = { method: 'POST', path: route.path, body: {}, signal: io.signal } as const
    const answer = await client.send(route.schema, call)
    if (json) io.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
    else show(answer, io)
    return answer.ok ? 0 : 1
  },
}

function show(answer: ReloadAnswer, io: Pick<CommandIo, 'stdout' | 'stderr'>): void {
  const { ok, changed, needs_restart: waiting, fixed_by_environment: fixed, problems, warnings } = answer
  const say = (text: string) => void io.stdout.write(`${printable(text)}\n`)
  for (const problem of problems) io.stderr.write(`${printable(`error ${describeProblem(problem)}`)}\n`)
  for (const warning of warnings) io.stderr.write(`${printable(`warning ${describeProblem(warning)}`)}\n`)
  if (!ok) {
    io.stderr.write('Nothing was changed.\n')
    return
  }
  say(changed.length === 0 ? 'Reloaded; no setting changed.' : 'Reloaded.')
  for (const change of changed) say(`  ${textOf(change)}`)
  if (waiting.length > 0) say('These wait for a restart of the agent:')
  for (const change of waiting) say(`  ${textOf(change)}`)
  if (fixed.length > 0) say(`Set by the environment, whatever the file says: ${fixed.join(', ')}`)
}

function textOf({ key, from, to }: ReloadAnswer['changed'][number]): string {
  const shown = (value: unknown) => (Array.isArray(value) ? value.join(', ') || '-' : String(value ?? '-') || '-')
  return `${key}: ${shown(from)} -> ${shown(to)}`
}
