import { ENDPOINT_VARIABLE, type Endpoint, findEndpoint, parseEndpoint } from '../client/address.js'
import type { DialectName } from '../client/dialect-name.js'
import type { Retry } from '../client/watch.js'
import { WorkloadApiClient } from '../client/workload-api-client.js'
import { AgentError, codeOf } from '../errors.js'
import { socketFault } from '../platform/socket-fault.js'
import { SystemClock } from '../platform/system-clock.js'
import type { Clock } from '../ports/clock.js'
import { choice, duration } from './arguments.js'
import type { CommandIo } from './command.js'
import { configuredValues } from './configured-values.js'

/** The options of every command that calls the Workload API. */
export const API_OPTIONS = {
  socket: { type: 'string' },
  dialect: { type: 'string' },
  output: { type: 'string', short: 'o' },
} as const

/** Their lines in a `--help`. */
export const API_OPTIONS_HELP = `  --socket ADDRESS      unix:///path of the Workload API, or only the path; default:
                        SPIFFE_ENDPOINT_SOCKET, else the socket of the agent's configuration
  --dialect NAME        spiffe (default) or authsec, the encoding of the AuthSec SDKs
  -o, --output FORMAT   pretty (default) or json`

export interface ApiCall {
  readonly client: WorkloadApiClient
  readonly dialect: DialectName
  readonly json: boolean
  readonly clock: Clock
}

/** A client by the options. Throws `command.misused`, `client.address_invalid`. */
export async function openClient(
  options: { readonly socket?: string; readonly dialect?: string; readonly output?: string },
  io: CommandIo,
  onRetry?: (retry: Retry) => void,
): Promise<ApiCall> {
  const dialect = choice(options.dialect, ['spiffe', 'authsec'], '--dialect')
  const json = choice(options.output, ['pretty', 'json'], '--output') === 'json'
  const address = await endpointFor(options.socket, io)
  const clock = new SystemClock()
  const client = WorkloadApiClient.connect({ address, dialect, clock, ...(onRetry ? { onRetry } : {}) })
  return { client, dialect, json, clock }
}

async function endpointFor(socket: string | undefined, io: CommandIo): Promise<Endpoint> {
  const found =
    socket === undefined
      ? findEndpoint(undefined, io.env)
      : parseEndpoint(socket.startsWith('/') ? `unix://${encoded(socket)}` : socket, '--socket')
  if (found) {
    const fault = found.kind === 'unix' ? socketFault(found.path) : null
    if (fault === null) return found
    throw new AgentError('client.address_invalid', `${socket === undefined ? ENDPOINT_VARIABLE : '--socket'}: ${fault}`)
  }
  const values = await configuredValues(undefined, io)
  return { kind: 'unix', path: values['agent.socket_path'] }
}

/** A bare path is taken literally. */
function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

/** How long a call may take. `chosen`: set by --timeout; then the command also waits for an agent that is not running yet. */
export interface Patience {
  readonly ms: number
  readonly chosen: boolean
}

const FIRST_PAUSE_MS = 250
const LAST_PAUSE_MS = 2_000

/** The value of --timeout, or the default in milliseconds. Throws `command.misused`. */
export function patience(timeout: string | undefined, standardMs: number): Patience {
  return { ms: duration(timeout, standardMs, '--timeout'), chosen: timeout !== undefined }
}

/**
 * Runs a call and retries temporary failures until the time is over; then throws the last failure. The signal also aborts
 * when the command is stopped.
 */
export async function inTime<T>(
  { ms, chosen }: Patience,
  clock: Clock,
  io: Pick<CommandIo, 'signal'>,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  let failure: AgentError = new AgentError('client.timeout', `the agent did not answer within ${ms / 1000} s`)
  using _ = clock.after(ms, () => late.abort())
  const signal = AbortSignal.any([io.signal, late.signal])
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS)) {
    try {
      return await call(signal)
    } catch (error) {
      if (late.signal.aborted) throw failure
      const passing = codeOf(error) === 'client.unavailable' || (chosen && codeOf(error) === 'client.unreachable')
      if (!passing || !(error instanceof AgentError)) throw error
      failure = error
    }
    await clock.sleep(pauseMs, signal).catch((error: unknown) => {
      throw late.signal.aborted ? failure : error
    })
  }
}
