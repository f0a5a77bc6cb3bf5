import { constants } from 'node:os'
import type { Problem } from '../config/problem.js'
import { AgentError, codeOf, type ErrorCode, isError, messageOf } from '../errors.js'
import { printable } from '../observability/printable.js'
import { errnoOf, ioError } from '../platform/io-error.js'
import type { CommandIo } from './command.js'
import { problemList } from './problem-list.js'
import { REMEDIES } from './remedies.js'
import { count } from './terminal/count.js'
import { styleFor } from './terminal/style.js'

/** Errors in the command's input: a retry cannot help. */
const MISUSES: ReadonlySet<ErrorCode> = new Set(['command.misused', 'config.invalid', 'client.address_invalid'])

/**
 * Writes an error and its remedy to stderr, and returns the exit code: 2 for an unusable command line or configuration,
 * else 1. A stack is shown only if ICP_DEBUG is set.
 */
export function reportError(thrown: unknown, io: Pick<CommandIo, 'env' | 'stderr'>): number {
  const error = ofTheSystem(thrown)
  const { bold, dim, red } = styleFor(io.stderr, io.env)
  const code = codeOf(error)
  const problems = problemsOf(error)
  const headline = problems ? `the configuration has ${count(problems.length, 'problem')}` : messageOf(error)
  io.stderr.write(`${bold(red('error'))} ${printable(headline)} ${dim(`[${code}]`)}\n`)
  if (problems) io.stderr.write(problemList(problems, styleFor(io.stderr, io.env)))
  for (const line of advice(error)) io.stderr.write(`  ${line}\n`)
  if (io.env['ICP_DEBUG']) io.stderr.write(`${trace(error)}\n`)
  return MISUSES.has(code) ? 2 : 1
}

/**
 * Errors of the operating system are not defects, wherever they occur: a missing working directory, a full disk, too few
 * descriptors.
 */
function ofTheSystem(error: unknown): unknown {
  const errno = errnoOf(error)
  if (error instanceof AgentError || errno === null || !Object.hasOwn(constants.errno, errno)) return error
  const { syscall, path, address } = error as NodeJS.ErrnoException & { readonly address?: string }
  if (syscall === 'uv_cwd') {
    const text = 'the working directory is gone or may not be read; start the command in another one'
    return new AgentError('file.io', text, { cause: error })
  }
  return ioError(syscall ?? 'do', path ?? address ?? 'what was asked', error)
}

function advice(error: unknown): string[] {
  const remedy = REMEDIES[codeOf(error)]
  const refused = isError(error, 'client.denied') || isError(error, 'client.unavailable')
  const denial = refused ? error.details.denialId : undefined
  return [
    ...(denial !== undefined ? [`Search the log of the agent for the denial id ${printable(denial)}.`] : []),
    ...(remedy ? [remedy] : []),
  ]
}

function problemsOf(error: unknown): readonly Problem[] | null {
  return isError(error, 'config.invalid') ? (error.details.problems ?? null) : null
}

/** The stack and those of its causes, escaped line by line, so that a message cannot imitate another line. */
function trace(error: unknown): string {
  const lines: string[] = []
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at !== error) lines.push('caused by')
    lines.push(...(at.stack ?? at.message).split('\n').map(printable))
  }
  return lines.join('\n')
}
