import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type Client, type ClientDuplexStream, type StatusObject, status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import { DiscoveryRequestSchema, DiscoveryResponseSchema } from '../../../proto/gen/envoy/discovery_pb.js'
import { SecretSchema } from '../../../proto/gen/envoy/tls_pb.js'
import { until } from '../../support/until.js'
import { same } from './api-world.js'

export const TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
export const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService'

/** One stream of a client, message by message. */
export class Sds {
  readonly call: ClientDuplexStream<Buffer, Buffer>
  readonly responses: ReturnType<typeof readResponse>[] = []
  status: StatusObject | null = null

  constructor(client: Client) {
    this.call = client.makeBidiStreamRequest<Buffer, Buffer>(`${SERVICE}/StreamSecrets`, same, same)
    this.call.on('data', (bytes: Buffer) => this.responses.push(readResponse(bytes)))
    this.call.on('error', () => undefined)
    this.call.on('status', (ended: StatusObject) => {
      this.status = ended
    })
  }

  ask(request: MessageInitShape<typeof DiscoveryRequestSchema>): void {
    const message = create(DiscoveryRequestSchema, { typeUrl: TYPE, ...request })
    this.call.write(Buffer.from(toBinary(DiscoveryRequestSchema, message)))
  }

  /** The answer to the last response. */
  ack(resourceNames: string[], more: MessageInitShape<typeof DiscoveryRequestSchema> = {}): void {
    const { nonce, versionInfo } = this.last
    this.ask({ resourceNames, responseNonce: nonce, versionInfo, ...more })
  }

  get last() {
    const last = this.responses.at(-1)
    if (!last) throw new Error('no response')
    return last
  }

  async response(count: number) {
    await until(() => this.responses.length >= count || this.status !== null)
    expect(this.status).toBeNull()
    expect(this.responses).toHaveLength(count)
    return this.last
  }

  async ended(): Promise<status> {
    await until(() => this.status !== null)
    return this.status?.code ?? status.UNKNOWN
  }

  /** A request on the same stream is answered, so those before it have been read. */
  async settled(): Promise<void> {
    const count = this.responses.length
    this.ask({ resourceNames: ['ALL'] })
    await this.response(count + 1)
  }
}

export function readResponse(bytes: Buffer) {
  const { versionInfo, nonce, typeUrl, resources } = fromBinary(DiscoveryResponseSchema, bytes)
  for (const resource of resources) expect(resource.typeUrl).toBe(TYPE)
  const secrets = resources.map(({ value }) => fromBinary(SecretSchema, value))
  return { versionInfo, nonce, typeUrl, secrets, names: secrets.map(({ name }) => name) }
}
