import { type AgentSvid, tlsIdentity } from '../agent-svid/agent-svid.js'
import type { HttpTls } from '../ports/http.js'

/** The sources of the settings; both return the same object as long as nothing changed. */
export interface TlsSources {
  /** The agent's own identity while it is valid. */
  readonly identity: () => AgentSvid | null
  /** The second valid SVID, which exists for a while after each renewal. */
  readonly other?: () => AgentSvid | null
  /** PEM of the authorities that are trusted besides the system's. */
  readonly roots: () => readonly string[]
}

/**
 * The certificate that the agent presents to the ICP server and its trusted roots, evaluated at each call, because setting
 * the clock can start or end the validity of a certificate without notification. Returns the same object until something
 * changes, so that connections are replaced only then.
 */
export function tlsSettings({ identity, other, roots }: TlsSources): () => HttpTls {
  let last: Made | null = null
  return () => {
    const shown = { own: identity(), other: other?.() ?? null, ca: roots() }
    if (!last || last.own !== shown.own || last.other !== shown.other || last.ca !== shown.ca) {
      const settings = {
        ca: shown.ca,
        ...(shown.own && { identity: tlsIdentity(shown.own) }),
        ...(shown.other && { other: tlsIdentity(shown.other) }),
      }
      last = { ...shown, settings }
    }
    return last.settings
  }
}

interface Made {
  readonly own: AgentSvid | null
  readonly other: AgentSvid | null
  readonly ca: readonly string[]
  readonly settings: HttpTls
}
