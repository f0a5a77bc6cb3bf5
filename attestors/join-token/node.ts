import type { NodeAttestor } from '../../agent/agent-svid/evidence.js'

/**
 * Evidence without content: the server decides by the join token, which is sent beside the evidence. `auto` never chooses
 * it, because older servers do not know join tokens.
 */
export function joinTokenNodeAttestor(): NodeAttestor {
  return {
    type: 'join_token',
    applies: async () => false,
    evidence: async () => ({ type: 'join_token', evidence: {} }),
  }
}
