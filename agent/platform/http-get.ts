import { get } from 'node:http'

const MAX_BYTES = 64 * 1024

export interface HttpAnswer {
  readonly status: number
  /** At most 64 KiB of it. */
  readonly body: string
}

export interface GetOptions {
  /** The caller's signal. */
  readonly signal: AbortSignal
  /** Aborts at the deadline. */
  readonly deadline: AbortSignal
  /** A Unix socket to connect to instead of the URL's host. */
  readonly socketPath?: string
}

/** Aborts after `ms`; does not keep the process running. */
export function deadlineAfter(ms: number): AbortSignal {
  return AbortSignal.timeout(ms)
}

/** One GET without proxy, redirects or keep-alive: a health check must be small and quick. */
export function httpGet(url: URL, { signal, deadline, socketPath }: GetOptions): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const either = AbortSignal.any([signal, deadline])
    const request = get(url, { agent: false, signal: either, ...(socketPath && { socketPath }) }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        body += body.length < MAX_BYTES ? text : ''
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}
