import { type AgentIdentity, tlsIdentity } from '../node/agent-identity.js'
import type { TlsSettings } from '../ports/http.js'

/** Where the settings come from; both answer with the same object as long as nothing changed. */
export interface TlsSources {
  /** The agent's own identity while it is valid. */
  readonly identity: () => AgentIdentity | null
  /** PEM of the authorities that are trusted besides the system's. */
  readonly roots: () => readonly string[]
}

/**
 * What the agent presents to the ICP server and trusts it by, as of the moment of asking: a clock that is set makes a
 * certificate valid, or ends it, and nobody is told. The same object again as long as nothing changed: whoever makes
 * connections of it makes them anew only then.
 */
export function tlsSettings({ identity, roots }: TlsSources): () => TlsSettings {
  let last: { readonly own: AgentIdentity | null; readonly settings: TlsSettings } | null = null
  return () => {
    const own = identity()
    const ca = roots()
    if (last === null || last.own !== own || last.settings.ca !== ca) {
      last = { own, settings: { ca, ...(own && { identity: tlsIdentity(own) }) } }
    }
    return last.settings
  }
}
