import type { AgentError } from '../../agent/errors.js'

/** The details of an error whose code the test has still to compare. */
export function detailsOf({ details }: AgentError): Readonly<Record<string, unknown>> {
  return { ...details }
}
