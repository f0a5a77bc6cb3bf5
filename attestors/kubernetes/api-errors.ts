import * as z from 'zod'
import { AgentError, isError } from '../../agent/errors.js'
import { jsonOf } from '../../agent/lib/json.js'

const MAX_MESSAGE = 300

/** `meta/v1`, Status: the body of an error answer, and the object of an ERROR event. */
const status = z.object({
  kind: z.literal('Status'),
  code: z.number().optional(),
  reason: z.string().optional(),
  message: z.string().optional(),
})

const ADVICE: Readonly<Record<number, (tokenPath: string) => string>> = {
  401: (tokenPath) =>
    `it does not accept the token at ${tokenPath}: it has expired, or is for another audience; a kubelet also answers this while it cannot reach its API server, which reviews tokens`,
  403: () =>
    'the service account of the agent needs the verbs get, list and watch on pods (ClusterRole); at a kubelet, get on nodes/pods, or on nodes/proxy before Kubernetes 1.33',
  404: () => 'there is no such API at this address',
  429: () => 'it asks to slow down',
}

/** A refusal as `platform.unavailable`, with `details.status` and, if the server sent it, `details.retryAfterMs`. */
export function refusalOf(
  {
    address,
    tokenPath,
    needs,
  }: { readonly address: string; readonly tokenPath: string; readonly needs?: string | undefined },
  code: number,
  headers: Readonly<Record<string, string>>,
  body: string,
): AgentError {
  const said = messageIn(body)
  const wanted = code === 403 && needs ? `the service account needs ${needs}` : ADVICE[code]?.(tokenPath)
  const why = wanted ?? (code >= 500 ? 'it fails' : 'it refuses the request')
  const seconds = Number(headers['retry-after'] ?? Number.NaN)
  return new AgentError('platform.unavailable', `Kubernetes at ${address} answered ${code}: ${why}${said}`, {
    details: { status: code, ...(seconds > 0 && { retryAfterMs: seconds * 1000 }) },
  })
}

/** The object of an ERROR event of a watch. */
export function errorEvent(object: unknown): AgentError {
  const { data } = status.safeParse(object)
  const text = data?.message?.slice(0, MAX_MESSAGE) ?? 'no reason given'
  return new AgentError('platform.unavailable', `the watch of Kubernetes reports an error: ${text}`, {
    details: { status: data?.code ?? (data?.reason === 'Expired' || data?.reason === 'Gone' ? 410 : 500) },
  })
}

/** The HTTP status of a failure; null: there was no answer. */
export function statusOf(error: unknown): number | null {
  return isError(error, 'platform.unavailable') ? (error.details.status ?? null) : null
}

/** Whether an answer had begun and broke off: the connection failed, the server may be fine. */
export function brokeOff(error: unknown): boolean {
  return isError(error, 'platform.unavailable') && error.details.brokeOff === true
}

/** The server's Retry-After in milliseconds; 0: none. */
export function retryAfterOf(error: unknown): number {
  return isError(error, 'platform.unavailable') ? (error.details.retryAfterMs ?? 0) : 0
}

function messageIn(body: string): string {
  // A proxy may have answered with any body.
  const { data } = status.safeParse(jsonOf(body))
  return data?.message ? ` (${data.message.slice(0, MAX_MESSAGE)})` : ''
}
