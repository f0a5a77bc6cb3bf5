import { create, type Message, toBinary } from '@bufbuild/protobuf'
import type { Node } from '../../../proto/gen/envoy/core_pb.js'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryResponseSchema,
} from '../../../proto/gen/envoy/discovery_pb.js'
import type { Method } from '../../observability/api-events.js'
import { type SdsSecret, SECRET_TYPE } from './secrets.js'
import {
  DeltaSubscription,
  type RequestOutcome,
  StateSubscription,
  type Subscription,
  type Update,
} from './subscription.js'

/** The common parts of both kinds of request. */
export interface SecretRequest {
  readonly typeUrl: string
  readonly node: Node | undefined
  /** All names in it. */
  readonly names: readonly string[]
}

/** One stream's side of a protocol, whose requests are messages of its method. */
export interface SecretExchange extends Omit<Subscription<Message, SdsSecret>, 'read'> {
  request(message: Message): SecretRequest
  read(message: Message): RequestOutcome
  encode(update: Update<SdsSecret>, nonce: string): Buffer
}

/** StreamSecrets or DeltaSecrets. */
export interface Protocol {
  readonly method: Method
  open(): SecretExchange
}

export const stateOfTheWorld: Protocol = {
  method: 'StreamSecrets',
  open: () => {
    const subscription = new StateSubscription<SdsSecret>()
    let responses = 0
    return exchange(subscription, {
      request: (message) => {
        const { typeUrl, node, resourceNames } = message as DiscoveryRequest
        return { typeUrl, node, names: resourceNames }
      },
      read: (message) => subscription.read(message as DiscoveryRequest),
      encode: (update, nonce) => encodeState(update, nonce, ++responses),
    })
  },
}

export const delta: Protocol = {
  method: 'DeltaSecrets',
  open: () => {
    const subscription = new DeltaSubscription<SdsSecret>()
    return exchange(subscription, {
      request: (message) => {
        const request = message as DeltaDiscoveryRequest
        const { typeUrl, node } = request
        return { typeUrl, node, names: [...request.resourceNamesSubscribe, ...request.resourceNamesUnsubscribe] }
      },
      read: (message) => subscription.read(message as DeltaDiscoveryRequest),
      encode: encodeDelta,
    })
  },
}

/** The `count`th response of its stream. Its version is always new, and contains a hash of the content. */
export function encodeState({ secrets }: Update<SdsSecret>, nonce: string, count: number): Buffer {
  const response = create(DiscoveryResponseSchema, {
    versionInfo: `${secrets.map(({ version }) => version.slice(0, 16)).join('+')}.${count}`,
    typeUrl: SECRET_TYPE,
    resources: secrets.map(({ message }) => message),
    nonce,
  })
  return Buffer.from(toBinary(DiscoveryResponseSchema, response))
}

function encodeDelta({ secrets, removed }: Update<SdsSecret>, nonce: string): Buffer {
  const response = create(DeltaDiscoveryResponseSchema, {
    typeUrl: SECRET_TYPE,
    resources: secrets.map(({ name, version, message }) => ({ name, version, resource: message })),
    removedResources: [...removed],
    nonce,
  })
  return Buffer.from(toBinary(DeltaDiscoveryResponseSchema, response))
}

function exchange(
  subscription: Omit<Subscription<never, SdsSecret>, 'read'>,
  own: Pick<SecretExchange, 'request' | 'read' | 'encode'>,
): SecretExchange {
  return {
    ...own,
    get wanted() {
      return subscription.wanted
    },
    next: (available) => subscription.next(available),
    sent: (update, nonce) => subscription.sent(update, nonce),
  }
}
