import type { NodeAttestor } from '../../agent/agent-svid/evidence.js'

export interface UnixNode {
  /** The agent's own process. */
  readonly pid: number
  /** The user that the agent runs as. */
  readonly username: string
  readonly hostname: string
}

/** A plain machine: it can say its name and who the agent runs as, and the server can believe it or not. */
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
