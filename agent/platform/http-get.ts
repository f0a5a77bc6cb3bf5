import { get } from 'node:http'

const MAX_BYTES = 64 * 1024

export interface HttpAnswer {
  readonly status: number
  /** At most 64 KiB of it. */
  readonly body: string
}

/** One GET without proxies, redirects or a connection that is kept: a health check must be small and quick. */
export function httpGet(url: URL, options: { timeoutMs: number; signal: AbortSignal }): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)])
    const request = get(url, { agent: false, signal }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        body += body.length < MAX_BYTES ? text : ''
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    request.on('error', (error) => {
      const late = signal.aborted && !options.signal.aborted
      reject(late ? new Error(`no answer within ${options.timeoutMs / 1000} s`, { cause: error }) : error)
    })
  })
}
