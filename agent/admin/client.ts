import * as z from 'zod'
import { AgentError, ERROR_CODES, type ErrorCode, messageOf } from '../errors.js'
import { jsonOf } from '../lib/json.js'
import { SocketHttp } from '../platform/socket-http.js'
import { PAGE } from './page.js'
import type { ListRoute } from './route.js'
import { API_VERSION } from './route.js'

/** A request to the admin API; `path` includes the query. */
export interface AdminCall {
  readonly method?: 'GET' | 'POST' | 'PUT'
  readonly path: string
  readonly body?: object
  readonly signal: AbortSignal
}

const refusal = z.object({ error: z.object({ code: z.string(), message: z.string() }) })
const paged = z.object({ next: z.string().nullable(), rows: z.array(z.unknown()) })

/**
 * A client of the admin socket, on one connection that stays open until disposal. Errors are AgentErrors that say what to
 * do: `admin.unreachable`, `admin.forbidden`, `admin.bad_response`, and errors that the agent answers.
 */
export class AdminClient implements Disposable {
  readonly #http: SocketHttp

  /** `silentMs`: how long to wait for data of the agent; default half a minute. */
  constructor(
    readonly socketPath: string,
    silentMs?: number,
  ) {
    this.#http = new SocketHttp(socketPath, silentMs)
  }

  /** Requests the path, and parses the answer with the schema of its route. */
  async get<T extends z.ZodType>(schema: T, path: string, signal: AbortSignal): Promise<z.infer<T>> {
    return this.#read(schema, await this.call({ path, signal }))
  }

  /** Sends a body, and reads the answer. */
  async send<T extends z.ZodType>(schema: T, call: AdminCall): Promise<z.infer<T>> {
    return this.#read(schema, await this.call(call))
  }

  /** Reads all pages of a list; returns the last page with the rows of all. `most`: stop after this many rows. */
  async list<S extends z.ZodObject>(
    { schema, path }: ListRoute<S>,
    signal: AbortSignal,
    most?: number,
  ): Promise<z.infer<S>> {
    const rows: unknown[] = []
    let after = ''
    for (;;) {
      const query = [most !== undefined && most < PAGE && `limit=${most}`, after !== '' && `after=${after}`]
      const more = query.filter(Boolean).join('&')
      const answer = await this.call({
        path: more === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${more}`,
        signal,
      })
      const page = this.#read(paged, answer)
      rows.push(...page.rows)
      if (page.next === null || rows.length >= (most ?? Number.POSITIVE_INFINITY))
        return this.#read(schema, { ...Object(answer), rows })
      after = page.next
    }
  }

  /** Sends a request and returns the JSON of the answer, unchecked. */
  async call({ method = 'GET', path, body, signal }: AdminCall): Promise<unknown> {
    const { status, body: text } = await this.#ask(method, path, body, signal)
    const answer = jsonOf(text)
    if (status >= 200 && status < 300 && answer !== null) return answer
    const refused = refusal.safeParse(answer)
    if (!refused.success) throw this.#odd(`it answers ${status}`)
    const { code, message } = refused.data.error
    if (status === 404 && code === 'request.invalid') {
      throw this.#odd(`it does not know ${path.replace(/\?.*/, '')}`)
    }
    throw new AgentError(isCode(code) ? code : 'admin.bad_response', message)
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]()
  }

  async #ask(method: 'GET' | 'POST' | 'PUT', path: string, body: object | undefined, signal: AbortSignal) {
    try {
      const json = body && { body: JSON.stringify(body) }
      return await this.#http.ask({ method, path, signal, ...json })
    } catch (cause) {
      if (signal.aborted) throw signal.reason
      throw this.#unreachable(cause)
    }
  }

  #unreachable(cause: unknown): AgentError {
    const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    const at = this.socketPath
    if (errno === 'EACCES' || errno === 'EPERM') {
      const who = 'only root and the user that the agent runs as may use it; use sudo'
      return new AgentError('admin.forbidden', `${at} may not be opened by this user: ${who}`, { cause })
    }
    const where = 'is the agent running, and is this its socket? --admin-socket PATH or -c FILE names another one'
    if (errno === 'ENOENT') return new AgentError('admin.unreachable', `there is no ${at}; ${where}`, { cause })
    if (errno === 'ECONNREFUSED')
      return new AgentError('admin.unreachable', `no process listens at ${at}; ${where}`, { cause })
    if (errno === 'ECONNRESET' || errno === 'EPIPE') {
      const why = 'this user may not use it, its 16 connections are taken, or it is stopping'
      return new AgentError('admin.unreachable', `the agent closed the connection at ${at}: ${why}`, { cause })
    }
    if (errno === 'ETIMEDOUT') {
      const why = `its agent hangs or is stopped: check its state (ps) and its log, and restart it`
      return new AgentError('admin.unreachable', `${at} accepts, and does not answer: ${why}`, { cause })
    }
    return new AgentError('admin.unreachable', `the request to ${at} failed (${messageOf(cause)}); ${where}`, { cause })
  }

  #read<T extends z.ZodType>(schema: T, answer: unknown): z.infer<T> {
    const read = schema.safeParse(answer)
    if (read.success) return read.data
    const [issue] = read.error.issues
    throw this.#odd(`its answer does not match the schema (${issue?.path.join('.')}: ${issue?.message})`)
  }

  #odd(what: string): AgentError {
    const why =
      'the agent that runs is of another version than this command; restart it, or use the command of its version'
    return new AgentError(
      'admin.bad_response',
      `${this.socketPath}: ${what}; version ${API_VERSION} of the API is meant. ${why}`,
    )
  }
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code)
}
