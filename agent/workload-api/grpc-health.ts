import { create, type Message, toBinary } from '@bufbuild/protobuf'
import { type ServerUnaryCall, type ServerWritableStream, type sendUnaryData, status } from '@grpc/grpc-js'
import {
  Health,
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from '../../proto/gen/grpc/health_pb.js'
import { authsecDialect } from './dialects/authsec.js'
import type { RunningCall, ServiceRegistration } from './dialects/dialect.js'
import { spiffeDialect } from './dialects/spiffe.js'
import { definitionOf } from './grpc-definition.js'

/** Whether the agent serves, and notice of each change. */
export interface Readiness {
  ready(): boolean
  onChange(changed: () => void): Disposable
}

/** The standard health service: the server as a whole (``) and each dialect's service. No security header is asked for. */
export function grpcHealthService(readiness: Readiness, began: (call: RunningCall) => void): ServiceRegistration {
  const known = new Set(['', spiffeDialect.service.typeName, authsecDialect.service.typeName])
  const current = () =>
    readiness.ready() ? HealthCheckResponse_ServingStatus.SERVING : HealthCheckResponse_ServingStatus.NOT_SERVING
  const message = (serving: HealthCheckResponse_ServingStatus) =>
    Buffer.from(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status: serving })))

  return {
    definition: definitionOf(Health),
    handlers: {
      Check(call: ServerUnaryCall<Message, Buffer>, answer: sendUnaryData<Buffer>) {
        began(call)
        if (known.has((call.request as HealthCheckRequest).service)) answer(null, message(current()))
        else answer({ code: status.NOT_FOUND, details: 'unknown service' })
      },
      Watch(call: ServerWritableStream<Message, Buffer>) {
        began(call)
        if (!known.has((call.request as HealthCheckRequest).service)) {
          call.write(message(HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN))
          return
        }
        let last: HealthCheckResponse_ServingStatus | null = null
        let writing = false
        const push = () => {
          const serving = current()
          if (serving === last || writing) return
          last = serving
          writing = true
          call.write(message(serving), () => {
            writing = false
            push()
          })
        }
        const watch = readiness.onChange(push)
        call.on('cancelled', () => watch[Symbol.dispose]())
        push()
      },
    },
  }
}
