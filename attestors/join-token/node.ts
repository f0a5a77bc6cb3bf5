import type { NodeAttestor } from '../../agent/agent-svid/evidence.js'

/**
 * A node that says nothing of itself: the join token, which is sent beside the evidence, is all that the server
 * decides by. `auto` never chooses it, for older servers know no tokens.
 */
export function joinTokenNodeAttestor(): NodeAttestor {
  return {
    type: 'join_token',
    applies: async () => false,
    evidence: async () => ({ type: 'join_token', evidence: {} }),
  }
}
