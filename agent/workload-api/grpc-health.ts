import { create, toBinary } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import {
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from '../../proto/gen/grpc/health_pb.js'
import type { Handler } from './service.js'

/** Whether the agent serves, and notice of each change. */
export interface Readiness {
  ready(): boolean
  onChange(changed: () => void): Disposable
}

/** Handlers of the standard health service: for the server as a whole (``) and for each of the `services`. */
export function healthHandlers(
  readiness: Readiness,
  services: readonly string[],
): Readonly<Record<string, Handler<readonly []>>> {
  const known = new Set(['', ...services])
  const current = () =>
    readiness.ready() ? HealthCheckResponse_ServingStatus.SERVING : HealthCheckResponse_ServingStatus.NOT_SERVING
  const message = (serving: HealthCheckResponse_ServingStatus) =>
    Buffer.from(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status: serving })))

  return {
    Check: {
      unary(call, answer) {
        if (known.has((call.request as HealthCheckRequest).service)) answer(null, message(current()))
        else answer({ code: status.NOT_FOUND, details: 'unknown service' })
      },
    },
    Watch: {
      stream(call) {
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
