import { messageOf } from '../agent/errors.js'
import type { AttestorEvents } from '../agent/observability/attestor-events.js'
import type { EngineEvents } from '../agent/observability/engine-events.js'
import type { KubernetesEvents } from '../agent/observability/kubernetes-events.js'

type Stands = Pick<AttestorEvents, 'stands'>

/** The engine's events, which also tell how it stands with the attestor that asks it. */
export function engineStanding(events: EngineEvents, { stands }: Stands, socketPath: string): EngineEvents {
  let seen = false
  return {
    ...events,
    answers(path) {
      seen = true
      stands('docker', true, `the container engine answers at ${path}`)
      events.answers(path)
    },
    away(error, absent) {
      const none = absent ? `there is no container engine at ${socketPath}` : messageOf(error)
      stands('docker', seen, seen ? `the container engine does not answer: ${messageOf(error)}` : none)
      events.away(error, absent)
    },
  }
}

/** Those of Kubernetes likewise. */
export function kubernetesStanding(events: KubernetesEvents, { stands }: Stands, nodeName: string): KubernetesEvents {
  const known = () => stands('kubernetes', true, `the pods of node ${nodeName} are known`)
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
      stands('kubernetes', true, `Kubernetes does not say which pods run here: ${messageOf(error)}`)
      events.failed(endpoint, error)
    },
  }
}
