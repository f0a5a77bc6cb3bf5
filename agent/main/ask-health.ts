import { messageOf } from '../errors.js'
import { jsonOf } from '../lib/json.js'
import { deadlineAfter, type HttpAnswer, httpGet } from '../platform/http-get.js'

/** A health endpoint. Only the agent's user can have created the socket, but any process may answer at a port. */
export interface Respondent {
  readonly url: URL
  readonly socketPath: string | null
  /** Account and node of the expected agent, as far as the configuration names them. */
  readonly expected: Names | null
}

export interface Names {
  readonly tenantId: string
  readonly nodeId: string
}

/** The result: `trouble`: why the answer is no; null: yes. `but`: problems in spite of a yes. */
export interface Health {
  readonly trouble: string | null
  readonly but: string | null
}

const OTHERS = '-c FILE or --url URL names another one'

/** Asks the endpoints in order; the next one only if this user may not use the one before. */
export async function askHealth(
  respondents: readonly Respondent[],
  path: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Health> {
  const deadline = deadlineAfter(timeoutMs)
  let last: Health = { trouble: 'no health endpoint is known', but: null }
  for (const respondent of respondents) {
    const { socketPath, url } = respondent
    const get = (where: string) =>
      httpGet(new URL(where, url), { signal, deadline, ...(socketPath !== null && { socketPath }) })
    try {
      return await answerOf(respondent, path, get)
    } catch (error) {
      signal.throwIfAborted()
      const why = deadline.aborted ? `no answer within ${timeoutMs / 1000} s` : messageOf(error)
      const where = socketPath ?? new URL(path, url).href
      last = { trouble: `no agent answers at ${where} (${why}); is it running? ${OTHERS}`, but: null }
      if (socketPath === null || !isForbidden(error)) return last
    }
  }
  return last
}

type Get = (path: string) => Promise<HttpAnswer>

async function answerOf({ expected, url }: Respondent, path: string, get: Get): Promise<Health> {
  const stranger = expected && notMeant(expected, (await get('/')).body)
  if (stranger) return { trouble: `${stranger} answers at ${url.origin}`, but: null }
  const { status, body } = await get(path)
  if (status < 200 || status >= 300) {
    return { trouble: reasonsIn(body).join('; ') || `${new URL(path, url).href} answers ${status}`, but: null }
  }
  // The question is answered, so a failure of this second request is ignored.
  const whole = await get('/healthz?verbose').catch(() => ({ body: '' }))
  const reasons = reasonsIn(whole.body)
  return { trouble: null, but: reasons.length > 0 ? `${statusIn(whole.body)}: ${reasons.join('; ')}` : null }
}

/** Describes the answering agent if it is not the expected one. */
function notMeant({ tenantId, nodeId }: Names, greeting: string): string | null {
  const answer = parsed(greeting)
  if (!answer || !('tenant_id' in answer) || !('node_id' in answer)) return 'something else than an agent'
  if (answer.tenant_id === tenantId && answer.node_id === nodeId) return null
  const other = `account ${String(answer.tenant_id)}, node ${String(answer.node_id)}`
  return `another agent (${other}; the configuration names account ${tenantId}, node ${nodeId})`
}

/** The reasons of the answer, from `{"reasons":[…]}`. */
function reasonsIn(body: string): readonly string[] {
  const answer = parsed(body)
  return answer && 'reasons' in answer && Array.isArray(answer.reasons) ? answer.reasons.map(String) : []
}

function statusIn(body: string): string {
  const answer = parsed(body)
  return answer && 'status' in answer ? String(answer.status) : 'degraded'
}

function parsed(body: string): object | null {
  const answer = jsonOf(body)
  return typeof answer === 'object' ? answer : null
}

function isForbidden(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null
  return code === 'EACCES' || code === 'EPERM'
}
