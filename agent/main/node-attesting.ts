import { nodeAttestors } from '../../attestors/index.js'
import type { EvidenceOptions } from '../agent-svid/evidence.js'
import type { Config } from '../config/config.js'
import type { FileEvents } from '../observability/file-events.js'
import type { HttpClient } from '../ports/http.js'
import type { Reloadable } from './reload.js'
import type { World } from './world.js'

/** The type and the attestors of node attestation in force, and their reload. */
export type NodeAttesting = Omit<EvidenceOptions, 'joinTokens'> & { readonly reloadable: Reloadable }

export function nodeAttesting(
  config: Config,
  world: Pick<World, 'files' | 'node' | 'inPod'> & { readonly fileEvents: FileEvents },
  http: HttpClient,
): NodeAttesting {
  const make = (of: Config) => {
    const { docker, kubernetes } = of.attestation
    const settings = [docker.socketPath, kubernetes.tokenPath, kubernetes.clusterName].join('\n')
    const fileEvents = world.fileEvents.scope()
    return { settings, fileEvents, attestors: nodeAttestors(of, { ...world, fileEvents }, http) }
  }
  let inForce = make(config)
  return {
    get type() {
      return config.attestation.type
    },
    get attestors() {
      return inForce.attestors
    },
    reloadable: {
      setting: 'attestation.type',
      prepare: (after) => {
        const made = make(after)
        if (made.settings === inForce.settings) {
          made.fileEvents[Symbol.dispose]()
          return null
        }
        let unused = made
        return {
          commit() {
            unused = inForce
            inForce = made
            unused.fileEvents[Symbol.dispose]()
          },
          [Symbol.dispose]: () => unused.fileEvents[Symbol.dispose](),
        }
      },
    },
  }
}
