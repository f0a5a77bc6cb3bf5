import { messageOf } from '../agent/errors.js'
import type { AttestorEvents } from '../agent/observability/attestor-events.js'
import type { EngineEvents } from '../agent/observability/engine-events.js'
import type { KubernetesEvents } from '../agent/observability/kubernetes-events.js'

type Reports = Pick<AttestorEvents, 'reportStatus'>

/** The events of the engine, which also report the status of the attestor that asks it. */
export function withEngineStatus(events: EngineEvents, { reportStatus }: Reports, socketPath: string): EngineEvents {
  let seen = false
  return {
    ...events,
    answers(path) {
      seen = true
      reportStatus('docker', true, `the container engine answers at ${path}`)
      events.answers(path)
    },
    away(error, absent) {
      const none = absent ? `there is no container engine at ${socketPath}` : messageOf(error)
      reportStatus('docker', seen, seen ? `the container engine does not answer: ${messageOf(error)}` : none)
      events.away(error, absent)
    },
  }
}

/** The same for Kubernetes. */
export function withKubernetesStatus(
  events: KubernetesEvents,
  { reportStatus }: Reports,
  nodeName: string,
): KubernetesEvents {
  const known = () => reportStatus('kubernetes', true, `the pods of node ${nodeName} are known`)
  return {
    ...events,
    listed(endpoint, pods, withoutUse) {
      known()
      events.listed(endpoint, pods, withoutUse)
    },
    watching() {
      known()
      events.watching()
    },
    failed(endpoint, error) {
      reportStatus('kubernetes', true, `Pods of this node cannot be listed: ${messageOf(error)}`)
      events.failed(endpoint, error)
    },
  }
}
