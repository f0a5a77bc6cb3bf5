import type { DescService } from '@bufbuild/protobuf'
import type { ServiceDefinition, UntypedHandleCall } from '@grpc/grpc-js'
import type { BundleSet } from '../identity/trust-bundle.js'
import type { View } from '../store/view.js'

/** How one of the two dialects looks on the wire; everything else is shared. */
export interface Dialect {
  readonly name: 'spiffe' | 'authsec'
  readonly service: DescService
  /** The standard demands `workload.spiffe.io: true` with every call (Workload Endpoint 6). */
  readonly requiresHeader: boolean
  x509Svids(view: View): Buffer
  x509Bundles(bundles: BundleSet): Buffer
}

/** A service as it is added to the server. */
export interface ServiceRegistration {
  readonly definition: ServiceDefinition
  readonly handlers: Readonly<Record<string, UntypedHandleCall>>
}

/** Encodes each value once, however many streams send it. */
export function encodedOnce<T extends object>(encode: (value: T) => Uint8Array): (value: T) => Buffer {
  const known = new WeakMap<T, Buffer>()
  return (value) => {
    let message = known.get(value)
    if (!message) {
      message = Buffer.from(encode(value))
      known.set(value, message)
    }
    return message
  }
}
