import type { Message } from '@bufbuild/protobuf'
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { SecretDiscoveryService } from '../../../proto/gen/envoy/secret_pb.js'
import type { Connection } from '../connection.js'
import { grpcError } from '../refusal.js'
import type { Handler, Identified, Reset, Service } from '../service.js'
import type { Outgoing } from '../stream.js'
import type { Streams } from '../streams.js'
import type { Workload } from '../workload.js'
import { type FetchOptions, fetchSecrets } from './fetch.js'
import { delta, type Protocol, stateOfTheWorld } from './protocols.js'
import { SecretStream } from './secret-stream.js'

/** A request of an Envoy has 61 kB, because it lists all extensions that it was built with. */
const MAX_MESSAGE_BYTES = 1024 ** 2
/** An Envoy has one stream for each secret, all on one connection. */
const STREAMS_PER_CONNECTION = 1_000
/** Per container, else per user. */
const STREAMS_PER_SUBJECT = 4_000

export interface SecretDiscoveryOptions extends Omit<FetchOptions, 'stopping'> {
  readonly streams: Streams
  /** Charges an unexpected request; true if the caller has sent too many. */
  readonly charge: (connection: Connection) => boolean
}

/** The Secret Discovery Service. It requires no security header, because Envoy sends none. */
export function secretDiscovery(options: SecretDiscoveryOptions): Service {
  const open = new Map<string, number>()
  const stream = (protocol: Protocol): Handler<Identified> => ({
    duplex: (call, workload, connection, reset) => {
      const { subject } = connection.quota
      const streams = (open.get(subject) ?? 0) + 1
      if (streams > STREAMS_PER_SUBJECT) {
        const message = `more than ${STREAMS_PER_SUBJECT} streams for secrets are open in this container, or for this user`
        call.emit('error', grpcError({ code: 'request.too_many', message }))
        return
      }
      open.set(subject, streams)
      // grpc-js emits it at every end of a call.
      call.once('cancelled', () => {
        const left = (open.get(subject) ?? 1) - 1
        if (left > 0) open.set(subject, left)
        else open.delete(subject)
      })
      serve(call, protocol, options, workload, connection, reset)
    },
  })
  return {
    definition: SecretDiscoveryService,
    callers: 'identified',
    requiresHeader: false,
    maxMessageBytes: MAX_MESSAGE_BYTES,
    streamsPerConnection: STREAMS_PER_CONNECTION,
    handlers: {
      StreamSecrets: stream(stateOfTheWorld),
      DeltaSecrets: stream(delta),
      FetchSecrets: fetchSecrets({ ...options, stopping: () => options.streams.stopping }),
    },
  }
}

/** Reads one request at a time: the next one when this one is answered, or there is nothing to send now. */
function serve(
  call: ServerDuplexStream<Message, Buffer>,
  protocol: Protocol,
  { streams, charge, ...options }: SecretDiscoveryOptions,
  workload: Workload,
  connection: Connection,
  reset: Reset,
): void {
  readNothingAhead(call)
  let writing = false
  const outgoing: Outgoing = {
    write: (message, written) => {
      writing = true
      call.write(message, () => {
        writing = false
        written()
        readOn()
      })
    },
    on: (event, listener) => call.on(event, listener),
    emit: (event, error) => call.emit(event, error),
  }
  const readOn = () => {
    if (!writing) call.resume()
  }
  const kind = new SecretStream(protocol, { ...options, workload })
  // Resets only this stream; the client may read others of its connection.
  const stream = streams.serve(outgoing, kind, workload, connection, reset)
  call.on('data', (message: Message) => {
    call.pause()
    if (!kind.read(message) && charge(connection)) {
      kind.end({ code: 'request.too_many', message: 'too many requests on this stream; call again later' })
    }
    stream.evaluate()
    readOn()
  })
  call.on('end', () => call.end())
}

/** By default grpc-js reads and parses sixteen requests ahead. */
function readNothingAhead(call: ServerDuplexStream<Message, Buffer>): void {
  const state: unknown = Reflect.get(call, '_readableState')
  if (typeof state === 'object' && state !== null) Reflect.set(state, 'highWaterMark', 0)
}
