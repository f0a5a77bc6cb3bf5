import { AgentError } from '../errors.js'

/** A problem of a configuration, or a warning about it. Never holds a secret. */
export interface Problem {
  /** `agent.tenant_id`; `(file)` for the file as a whole. */
  readonly key: string
  /** Where the value comes from: `/etc/icp-agent/config.yaml:12`, the name of a variable, or `not set`. */
  readonly source: string
  /** The predicate of a sentence about the key: `is empty`. */
  readonly problem: string
  /** What would be right. */
  readonly remedy: string
}

const SHOWN = 60

/** A value in quotes, truncated, in printable ASCII only. Never for a secret. */
export function quote(text: string): string {
  const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
  const asEscape = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  return `"${shown.replace(/["\\]/g, '\\$&').replace(/[^\x20-\x7e\u2026]/g, asEscape)}"`
}

/** One line: `agent.tenant_id (config.yaml:3) is empty: set …`. */
export function describeProblem({ key, source, problem, remedy }: Problem): string {
  return `${key} (${source}) ${problem}: ${remedy}`
}

/** The error that names every problem; they are in `details.problems` too, and the warnings in `details.warnings`. */
export function invalidConfiguration(problems: readonly Problem[], warnings: readonly Problem[] = []): AgentError {
  const list = problems.map((problem, i) => `${problems.length > 1 ? `(${i + 1}) ` : ''}${describeProblem(problem)}`)
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  return new AgentError('config.invalid', `the configuration has ${count}: ${list.join(' ')}`, {
    details: { problems, warnings },
  })
}
