import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import { sayOnce } from './once.js'

/** Limit of claims, and of images, for which a logged warning is remembered. */
const MAX_SAID = 256

/** What happens between the agent and the container engine of its machine. */
export const engineEvents = ({ log }: Pick<Sinks, 'log'>, clock: Clock) => {
  const engine = sayOnce(log, clock, {
    failing: 'Container engine does not answer',
    recovered: 'Container engine answers again',
  })
  const said = new Set<string>()
  const unread = new Set<string>()
  let seen = false
  return {
    answers(socketPath: string): void {
      if (!seen) log.info('Container engine found', { socket_path: socketPath })
      seen = true
      engine.succeeded({ socket_path: socketPath })
    },

    /** `absent`: there is no socket, as on a machine without an engine. */
    away(error: unknown, absent: boolean): void {
      if (absent && !seen) log.debug('There is no container engine', { error })
      else engine.failed(error)
    },

    /** Once for each image: selectors on labels of its containers are unavailable until its labels are read. */
    imageLabelsUnavailable(image: string, error: unknown): void {
      const level = unread.has(image) || unread.size >= MAX_SAID ? 'debug' : 'warn'
      if (level === 'warn') unread.add(image)
      log.at(level, 'Labels of an image cannot be read; selectors on labels of its containers are unavailable', {
        image: `sha256:${image}`,
        remedy: 'allow GET /images/*/json in the proxy before the engine; restart containers whose image was removed',
        error,
      })
    },

    imageLabelsRead(image: string): void {
      if (unread.delete(image)) log.info('Labels of an image are read', { image: `sha256:${image}` })
    },

    /** A control group or mounted files name a container that the process is not in. Once for each container. */
    claimRefused(claim: { readonly pid: number; readonly uid: number; readonly container: string }): void {
      const level = said.has(claim.container) || said.size >= MAX_SAID ? 'debug' : 'warn'
      if (level === 'warn') said.add(claim.container)
      log.at(level, 'A process claims to be in a container that it is not in', claim)
    },
  }
}

export type EngineEvents = ReturnType<typeof engineEvents>
