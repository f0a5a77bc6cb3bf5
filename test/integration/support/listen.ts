import type { Caller } from '../../../agent/attestation/caller.js'
import type { Clock } from '../../../agent/ports/clock.js'
import { type ConnectionLimits, ConnectionRegistry } from '../../../agent/workload-api/connections.js'
import { Listener, type ListenerOptions, type ListenPlace } from '../../../agent/workload-api/listener.js'
import { Workload } from '../../../agent/workload-api/workload.js'
import { workloadContext } from '../../fakes/workload.js'

/** A listener that listens. */
export async function listen(options: ListenerOptions & ListenPlace): Promise<Listener> {
  const listener = new Listener(options)
  await listener.open(options)
  return listener
}

/** A registry of connections whose workloads are not attested: the process is let go with the connection. */
export function unattested(
  limits: ConnectionLimits,
  clock: Clock,
  looked: (caller: Caller) => void = () => undefined,
): ConnectionRegistry {
  const context = workloadContext({ clock })
  const acquire = (caller: Caller) => {
    looked(caller)
    const letGo = (workload: Workload) => workload[Symbol.dispose]()
    const workload = new Workload(caller, caller.process.key, context, { idle: letGo, over: letGo })
    workload.hold()
    return workload
  }
  return new ConnectionRegistry(limits, clock, { acquire })
}
