import type * as z from 'zod'
import type { AdminSources } from './sources.js'

/** What an administrator asks. */
export interface AdminRequest {
  /** The variable parts of the path. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string | undefined>>
  /** What the route's `body` made of it; undefined where it has none. */
  readonly body: unknown
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
}

/** One row of the table of routes, in a file of its own. */
export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** `/v1/denials/:id`; also the label of the metric. */
  readonly path: string
  /** Names the file of the schema in docs/schemas, behind `admin-v1.`. */
  readonly name: string
  /** One line for docs/admin.md. */
  readonly summary: string
  /** The answer's schema. `answer` gives exactly what it declares; a test compares them. */
  readonly schema: z.ZodObject
  /** The schema of the request's JSON, where the route takes one. */
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

/** The version of the API: it goes up when something that was answered is answered otherwise or no more. */
export const API_VERSION = 1
