import { messageOf } from '../../../../agent/errors.js'

/** One JSON object a line on stdout. */
export function tell(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** An error with its status, where the agent gave one. */
export function textOf(error: unknown): string {
  const details = error instanceof Error && 'details' in error ? JSON.stringify(error.details) : ''
  return `${messageOf(error)} ${details}`
}
