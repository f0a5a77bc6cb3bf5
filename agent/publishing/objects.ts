import type * as z from 'zod'
import { AgentError } from '../errors.js'

/** A request to the Kubernetes API about one object. */
export interface ObjectRequest {
  /** `/api/v1/namespaces/authsec/configmaps`: without the name. */
  readonly collection: string
  readonly name: string
  /** `configmaps/spiffe-bundle in the namespace authsec`, for messages. */
  readonly what: string
}

/** Objects of Kubernetes. What fails is an AgentError; a 403 names the verb that is missing. */
export interface ClusterObjects {
  /** Null where there is none. */
  read(request: ObjectRequest, signal: AbortSignal): Promise<unknown>
  /** False where somebody else has made it meanwhile. */
  create(request: ObjectRequest, object: object, signal: AbortSignal): Promise<boolean>
  /** With the `resourceVersion` that was read. False where it has changed since, or is gone. */
  replace(request: ObjectRequest, object: object, signal: AbortSignal): Promise<boolean>
  /** Whether the group is served in this version, with this resource. */
  serves(group: string, version: string, resource: string, signal: AbortSignal): Promise<boolean>
}

/** An answer as the schema wants it. Throws `platform.unavailable`. */
export function readable<T>(schema: z.ZodType<T>, object: unknown, what: string): T {
  const { data } = schema.safeParse(object)
  if (data === undefined) throw new AgentError('platform.unavailable', `Kubernetes answers no ${what} that can be read`)
  return data
}
