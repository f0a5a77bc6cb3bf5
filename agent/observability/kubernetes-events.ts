import { AgentError, codeOf } from '../errors.js'
import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import { sayOnce } from './once.js'

/** `list` and `watch` of the API server, or the kubelet. */
export type KubernetesEndpoint = 'list' | 'watch' | 'kubelet'

const LACKS_OWN = 'it has just started, or attestation.kubernetes.node_name names another node'

/** What happens between the agent and the API server or kubelet that lists the pods of this node. */
export const kubernetesEvents = ({ log, metrics }: Sinks, clock: Clock) => {
  const reaching = sayOnce(log, clock, {
    failing: 'Pods of this node cannot be listed',
    recovered: 'Pods of this node can be listed again',
  })
  const right = sayOnce(log, clock, {
    failing: 'Kubernetes forbids watching pods; the list is polled',
    recovered: 'Kubernetes allows watching pods again',
  })
  const own = sayOnce(log, clock, {
    failing: 'Kubernetes does not list the pod of this agent; keeping pods that its list lacks',
    recovered: 'Kubernetes lists the pod of this agent again',
  })
  const logged = { listed: false, empty: false, unreadable: false }
  const count = (endpoint: KubernetesEndpoint, outcome: string) =>
    metrics.count('icp_agent_kubernetes_requests_total', { endpoint, outcome })

  const unreadable = (objects: number): void => {
    if (objects === 0) return
    log.at(logged.unreadable ? 'debug' : 'warn', 'Kubernetes returned objects that are not valid pods; ignoring them', {
      objects,
    })
    logged.unreadable = true
  }

  return {
    /** All pods of this node were read. */
    listed(endpoint: KubernetesEndpoint, pods: number, withoutUse: number): void {
      count(endpoint, 'ok')
      reaching.succeeded({ pods })
      unreadable(withoutUse)
      if (!logged.listed) log.info('Pods of this node are known', { source: endpoint, pods })
      else log.debug('Pods of this node were listed', { source: endpoint, pods })
      logged.listed = true
    },

    /** An agent in a pod is itself one of its node's pods, so an empty list is that of another node. */
    noPods(nodeName: string, pods: number): void {
      if (pods === 0 && !logged.empty) {
        log.warn('Kubernetes lists no pods on this node; check attestation.kubernetes.node_name', {
          node_name: nodeName,
        })
      }
      logged.empty = pods === 0
    },

    /** `shown`: the last list has the agent's own pod, or the agent does not know which pod is its own. */
    ownPod(nodeName: string, shown: boolean): void {
      if (shown) own.succeeded({ node_name: nodeName })
      else own.failed(new AgentError('platform.unavailable', LACKS_OWN), { node_name: nodeName })
    },

    /** A watch is open. */
    watching(): void {
      count('watch', 'ok')
      reaching.succeeded()
      right.succeeded()
    },

    /** A watch was closed or timed out, and is opened again. */
    watchEnded(why: string): void {
      log.debug('Watch of pods ended', { why })
    },

    /** `again`: not the first time, so the API server has not just started. */
    watchForbidden(error: AgentError, again: boolean): void {
      count('watch', error.code)
      if (again) right.failed(error)
      else log.debug('Kubernetes forbids watching pods for now', { error })
    },

    /** Objects that do not have the form of a pod. */
    unreadable,

    /** No answer, or an error. The known pods stay in use. */
    failed(endpoint: KubernetesEndpoint, error: unknown): void {
      count(endpoint, codeOf(error))
      reaching.failed(error, { endpoint })
    },

    /** Exports the number of known pods and the age of that information until the result is disposed. */
    watchPods(read: () => { readonly pods: number; readonly ageSeconds: number }): Disposable {
      const pods = metrics.gauge('icp_agent_kubernetes_pods', () => [{ value: read().pods }])
      const age = metrics.gauge('icp_agent_kubernetes_sync_age_seconds', () => [{ value: read().ageSeconds }])
      return {
        [Symbol.dispose]: () => {
          pods[Symbol.dispose]()
          age[Symbol.dispose]()
        },
      }
    },
  }
}

export type KubernetesEvents = ReturnType<typeof kubernetesEvents>
