import { configPath } from '../../config/config-path.js'
import { loadConfig } from '../../config/load.js'
import type { Problem } from '../../config/problem.js'
import { isError } from '../../errors.js'
import { printable } from '../../observability/printable.js'
import { Disk } from '../../platform/disk.js'
import { surroundings } from '../../platform/environment.js'
import { choice, misused, readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'
import { problemList } from '../problem-list.js'
import { count } from '../terminal/count.js'
import { styleFor } from '../terminal/style.js'

const OPTIONS = { config: { type: 'string', short: 'c' }, output: { type: 'string', short: 'o' } } as const

interface ValidationReport {
  /** Null: there is no file, only the environment. */
  readonly file: string | null
  readonly valid: boolean
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
}

export const validate: Command = {
  help: `Usage: icp-agent validate [FILE] [-o pretty|json]

Reads the configuration as the agent would, environment included, and lists all problems: the setting,
where its value comes from, what is wrong with it, and what to write instead. The command writes
nothing and contacts no server.

Options:
  -c, --config FILE     the same as FILE; default: ./config.yaml, else /etc/icp-agent/config.yaml
  -o, --output FORMAT   pretty (default) or json

Exit codes: 0 valid, perhaps with warnings; 1 invalid; 2 wrong usage.

Example:
  icp-agent validate /etc/icp-agent/config.yaml
`,
  async run(args, io) {
    const { options, positionals } = readArguments(args, OPTIONS, 1)
    const [named = options.config] = positionals
    if (options.config !== undefined && named !== options.config) throw misused('two files are named; give one')
    const json = choice(options.output, ['pretty', 'json'], '--output') === 'json'
    const findings = await examine(named, io)
    io.stdout.write(json ? `${JSON.stringify(findings, null, 2)}\n` : report(findings, io))
    return findings.valid ? 0 : 1
  },
}

async function examine(named: string | undefined, io: CommandIo): Promise<ValidationReport> {
  const files = new Disk()
  const place = await configPath(named, files)
  const file = place.absent ? null : place.path
  try {
    const { warnings } = await loadConfig({ ...place, ...surroundings(io.env), files })
    return { file, valid: true, problems: [], warnings }
  } catch (error) {
    if (!isError(error, 'config.invalid')) throw error
    const { problems = [], warnings = [] } = error.details
    return { file, valid: false, problems, warnings }
  }
}

function report({ file, valid, problems, warnings }: ValidationReport, io: CommandIo): string {
  const style = styleFor(io.stdout, io.env)
  const { bold, green, red, yellow } = style
  const verdict = valid ? green('can be used') : red('cannot be used')
  const what = file === null ? 'The environment, without a configuration file,' : bold(printable(file))
  const parts = [`${what} ${verdict}\n`]
  if (problems.length > 0) parts.push(`\n${red(count(problems.length, 'problem'))}\n${problemList(problems, style)}`)
  if (warnings.length > 0) parts.push(`\n${yellow(count(warnings.length, 'warning'))}\n${problemList(warnings, style)}`)
  return parts.join('')
}
