import type { NodeAttestor } from '../../agent/agent-svid/evidence.js'

export interface UnixNode {
  /** The agent's own process. */
  readonly pid: number
  /** The user that the agent runs as. */
  readonly username: string
  readonly hostname: string
}

/** A machine without a platform: its evidence is its name and the agent's user, which the server cannot verify. */
export function unixNodeAttestor(node: UnixNode): NodeAttestor {
  return {
    type: 'unix',
    applies: async () => true,
    evidence: async () => ({
      type: 'unix',
      evidence: { pid: node.pid, username: node.username, hostname: node.hostname },
    }),
  }
}
