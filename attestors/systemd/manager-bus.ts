import { connect } from 'node:net'
import { AgentError, messageOf } from '../../agent/errors.js'
import { type DbusMessage, decodeMessage, encodeCall } from './dbus-message.js'

/** One property of one object of systemd's manager. */
export interface Property {
  readonly path: string
  readonly interface: string
  readonly name: string
}

/** Reads the properties in the same order; null if the manager has no such object or property. */
export type AskManager = (properties: readonly Property[], signal: AbortSignal) => Promise<readonly (string | null)[]>

const BUS = 'org.freedesktop.DBus'
const MANAGER = 'org.freedesktop.systemd1'
const HELLO = 1
const FIRST_QUESTION = 2
const MAX_LINE = 1_024

/**
 * Asks the system's manager over the bus at `path`. One connection per query, about 1 ms, so that no connection has to be
 * kept alive and reconnected. Rejects with `platform.unavailable` if there is no answer, and with the signal's reason.
 */
export function askManager(path: string): AskManager {
  return (properties, signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const exchange = new BusExchange(properties)
      const socket = connect(path)
      const end = (settle: () => void) => {
        signal.removeEventListener('abort', aborted)
        socket.destroy()
        settle()
      }
      const failed = (why: string, cause?: unknown) =>
        end(() =>
          reject(new AgentError('platform.unavailable', `systemd does not answer at ${path}: ${why}`, { cause })),
        )
      const aborted = () => end(() => reject(signal.reason))
      signal.addEventListener('abort', aborted, { once: true })
      socket.on('error', (error) => failed(messageOf(error), error))
      socket.on('close', () => failed('the connection was closed'))
      socket.on('data', (chunk) => {
        try {
          const more = exchange.received(chunk)
          if (more) socket.write(more)
          if (exchange.complete) end(() => resolve(exchange.values()))
        } catch (error) {
          failed(messageOf(error), error)
        }
      })
      // D-Bus specification, "Authentication Protocol": the kernel identifies the client, so no name is sent.
      socket.write('\0AUTH EXTERNAL\r\nDATA\r\n')
    })
}

/** The client's side of one exchange, without the socket. */
class BusExchange {
  #buffer = Buffer.alloc(0)
  #accepted = false
  readonly #answers = new Map<number, string | null>()

  constructor(private readonly properties: readonly Property[]) {}

  get complete(): boolean {
    return this.#answers.size === this.properties.length
  }

  values(): readonly (string | null)[] {
    return this.properties.map((_, i) => this.#answers.get(FIRST_QUESTION + i) ?? null)
  }

  /** Handles received data and returns what to send next, if anything. Throws for invalid data. */
  received(chunk: Buffer): Buffer | null {
    this.#buffer = Buffer.concat([this.#buffer, chunk])
    if (!this.#accepted) return this.#authenticated() ? this.#questions() : null
    for (let next = decodeMessage(this.#buffer); next; next = decodeMessage(this.#buffer)) {
      this.#buffer = this.#buffer.subarray(next.bytes)
      this.#take(next.message)
    }
    return null
  }

  #authenticated(): boolean {
    for (let end = this.#buffer.indexOf('\r\n'); end !== -1; end = this.#buffer.indexOf('\r\n')) {
      const line = this.#buffer.toString('latin1', 0, end)
      this.#buffer = this.#buffer.subarray(end + 2)
      this.#accepted = line.startsWith('OK ')
      if (this.#accepted) return true
      if (!line.startsWith('DATA')) throw new RangeError('it does not accept the agent')
    }
    if (this.#buffer.length > MAX_LINE) throw new RangeError('it does not speak D-Bus')
    return false
  }

  #questions(): Buffer {
    const hello = { path: '/org/freedesktop/DBus', interface: BUS, member: 'Hello', args: [] }
    const get = { interface: 'org.freedesktop.DBus.Properties', member: 'Get' }
    return Buffer.concat([
      Buffer.from('BEGIN\r\n'),
      encodeCall({ serial: HELLO, destination: BUS, ...hello }),
      ...this.properties.map(({ path, interface: owner, name }, i) =>
        encodeCall({ serial: FIRST_QUESTION + i, destination: MANAGER, path, ...get, args: [owner, name] }),
      ),
    ])
  }

  #take({ type, replyTo, value, error }: DbusMessage): void {
    if (type === 'other' || replyTo > HELLO + this.properties.length) return
    if (type === 'error' && !isAbsence(error)) throw new RangeError(`it refuses the call (${error})`)
    if (replyTo >= FIRST_QUESTION) this.#answers.set(replyTo, value)
  }
}

/** Whether the error means that there is no such unit or property, unlike a lack of access or of a manager. */
function isAbsence(error: string | null): boolean {
  return /\.(?:Unknown(?:Object|Interface|Property|Method)|NoSuchUnit)$/.test(error ?? '')
}
