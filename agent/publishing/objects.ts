import type * as z from 'zod'
import { AgentError } from '../errors.js'

/** The answer parsed by the schema. Throws `platform.unavailable`. */
export function readable<T>(schema: z.ZodType<T>, object: unknown, what: string): T {
  const { data } = schema.safeParse(object)
  if (data === undefined) throw new AgentError('platform.unavailable', `Kubernetes answers no ${what} that can be read`)
  return data
}
