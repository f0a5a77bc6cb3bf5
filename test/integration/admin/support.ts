import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { AdminClient } from '../../../agent/admin/client.js'
import { type RunningAgent, startAgent } from '../../support/agent.js'

export const socketOf = (agent: Pick<RunningAgent, 'dataDir'>) => join(agent.dataDir, 'admin.sock')

export interface Told {
  readonly status: number
  readonly body: string
}

/** One request, as any HTTP client would make it. */
export function ask(
  path: string,
  {
    method = 'GET',
    url = '/v1/status',
    body = '',
    headers = {},
  }: Partial<Record<'method' | 'url' | 'body', string>> & {
    readonly headers?: Record<string, string>
  } = {},
): Promise<Told> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: path, agent: false, method, path: url, headers }, (response) => {
      let text = ''
      response.on('data', (piece) => {
        text += piece
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

/** What comes on a new connection until it is closed by the other side; `sent` is written at once. */
export function closedAfter(path: string, sent = ''): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(path, () => void (sent !== '' && socket.write(sent)))
    socket.on('data', (piece) => {
      text += piece
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(text))
  })
}

export function clientOf(agent: Pick<RunningAgent, 'dataDir'>): AdminClient {
  return new AdminClient(socketOf(agent))
}

export { startAgent }
