import type * as z from 'zod'
import type { AdminSources } from './sources.js'

/** A request of an administrator. */
export interface AdminRequest {
  /** The variable parts of the path. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string | undefined>>
  /** The body, parsed by the route's `body`; undefined if it has none. */
  readonly body: unknown
  /** Aborts when the client disconnects. */
  readonly signal: AbortSignal
}

/** One row of the table of routes, in a file of its own. */
export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** `/v1/denials/:id`; also the label of the metric. */
  readonly path: string
  /** In the name of the schema's file in docs/schemas, after `admin-v1.`. */
  readonly name: string
  /** One line for docs/admin.md. */
  readonly summary: string
  /** The schema of the answer; a test checks that `answer` returns exactly what it declares. */
  readonly schema: z.ZodObject
  /** The schema of the request's JSON, if the route has one. */
  readonly body?: z.ZodType
  /** Throws an AgentError: `admin.not_found` is answered with 404, `request.invalid` with 400, others with 500. */
  answer(sources: AdminSources, request: AdminRequest): object | Promise<object>
}

/** What a schema declares. */
export type AnswerOf<S extends z.ZodObject> = z.infer<S>

/** A route whose answer is a page of rows. */
export interface ListRoute<S extends z.ZodObject = z.ZodObject> {
  readonly path: string
  readonly schema: S
}

/** The version of the API. It is incremented when a field of an answer changes or is removed. */
export const API_VERSION = 1
