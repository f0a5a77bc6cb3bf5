import { nearestKey } from '../config/nearest-key.js'
import { printable } from '../observability/printable.js'
import { misused, quoted } from './arguments.js'
import type { CommandIo } from './command.js'
import { COMMANDS, type FoundCommand, findCommand, groupOf } from './command-table.js'
import { overview } from './overview.js'
import { reportError } from './report-error.js'

/**
 * Runs the command that the arguments name, or the daemon if they name none, and resolves with the exit code: 0 done,
 * 1 failed, 2 the command line or the configuration cannot be used. Errors go to stderr.
 */
export async function main(args: readonly string[], io: CommandIo): Promise<number> {
  try {
    return await dispatch(args, io)
  } catch (error) {
    if (io.signal.aborted && error === io.signal.reason) return 0
    return reportError(error, io)
  }
}

async function dispatch(args: readonly string[], io: CommandIo): Promise<number> {
  const [first, ...rest] = args
  if (first === '--version' || first === '-v') return await dispatch(['version', ...rest], io)
  if (first === '--help' || first === '-h') return await dispatch(['help', ...rest], io)
  // Existing units and charts start the daemon with options only.
  if (first === undefined || first.startsWith('-')) return await dispatch(['run', ...args], io)
  if (first === 'help' && rest[0] !== undefined && !rest[0].startsWith('-')) return await dispatch([...rest, '-h'], io)
  const found = findCommand(args)
  if (!found || beginsGroup(found)) return listGroup(args, io)
  const command = await found.command.load()
  if (asksForHelp(found.rest)) {
    io.stdout.write(command.help)
    return 0
  }
  // The daemon logs them; `exec` passes them to the program, for which they are in effect.
  if (found.command.name !== 'run' && found.command.name !== 'exec') warnOfIgnored(io)
  return await command.run(found.rest, io)
}

function warnOfIgnored({ ignoredVariables = [], stderr }: CommandIo): void {
  if (ignoredVariables.length === 0) return
  const names = printable(ignoredVariables.join(', '))
  stderr.write(`warning these variables would weaken the command and are without effect: ${names}\n`)
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return (end === -1 ? args : args.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')
}

/** Whether the next argument continues the name of another command: `dev-icp entry`. */
function beginsGroup({ command, rest: [next] }: FoundCommand): boolean {
  return next !== undefined && groupOf([...command.name.split(' '), next]).length > 0
}

/** Lists a group (`icp-agent api`). Anything else is misuse, and the nearest command is named. */
function listGroup(args: readonly string[], io: CommandIo): number {
  const words = args.filter((arg) => !arg.startsWith('-')).slice(0, 3)
  const group = groupOf(words)
  if (group.length === 0) throw unknownCommand(words)
  const asked = asksForHelp(args)
  const sink = asked ? io.stdout : io.stderr
  sink.write(overview(group, io.env, sink))
  return asked ? 0 : 2
}

function unknownCommand(words: readonly string[]) {
  const names = COMMANDS.map(({ name }) => name)
  const nearest = partOf(words, names) ?? nearestKey(words.join(' '), names) ?? nearestKey(words[0] ?? '', names)
  const advice = nearest === null ? '`icp-agent help` lists them' : `did you mean \`icp-agent ${nearest}\`?`
  return misused(`there is no command ${quoted(words.join(' '))}; ${advice}`)
}

/** The first command whose last words are these, for names of SPIRE such as `entry create`. */
function partOf(words: readonly string[], names: readonly string[]): string | null {
  for (let length = words.length; length > 0; length--) {
    const part = words.slice(0, length).join(' ')
    const name = names.find((candidate) => `${candidate} `.includes(` ${part} `))
    if (name !== undefined) return name
  }
  return null
}
