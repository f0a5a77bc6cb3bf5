import { type LineTable, SPELL } from './spec.js'

const IDENTITY = { agent_id: 'text', spiffe_id: 'text', serial: 'text', not_after: 'time' } as const

/** The agent's own SVID. */
export const NODE_LINES = {
  'Node attestation successful': {
    level: 'info',
    lookFor: true,
    fields: IDENTITY,
    means: 'The node has a new agent SVID from the ICP server.',
  },
  'Node attestation failed': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { retry_in_seconds: 'number', error: 'error' },
    means: 'The ICP server did not attest the node. The agent tries again.',
    todo: 'Look up the code of `error` in [errors.md](errors.md).',
  },
  'Node attestation works again': { level: 'info', fields: SPELL, ends: 'Node attestation failed' },
  'Agent SVID renewal successful': {
    level: 'info',
    lookFor: true,
    fields: IDENTITY,
    means: 'The agent has renewed its own SVID.',
  },
  'Agent SVID renewal failed': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { retry_in_seconds: 'number', error: 'error' },
    means: 'The agent keeps using its valid SVID, and tries again.',
    todo: 'Look up the code of `error` in [errors.md](errors.md), before the SVID expires.',
  },
  'Agent SVID renewal works again': { level: 'info', fields: SPELL, ends: 'Agent SVID renewal failed' },
  'Agent SVID expired': {
    level: 'error',
    lookFor: true,
    fields: IDENTITY,
    means: 'The agent gets nothing new from the ICP server until the node is attested again.',
    todo: 'Look for the line that says why it was not renewed.',
  },
  'The ICP server refuses to renew; attesting again': {
    level: 'debug',
    fields: { code: 'text' },
    means: 'Some servers refuse every renewal. The agent attests again instead.',
  },
  'Node is locked out': {
    level: 'error',
    lookFor: true,
    fields: { code: 'text', advice: 'text', 'answer?': 'text', 'valid_until?': 'time' },
    means: 'The ICP server wants a fresh join token. SVIDs that are valid are still served.',
    todo: 'Do what `advice` says.',
  },
  'Node is still locked out': {
    level: 'debug',
    fields: { code: 'text' },
    means: 'Another attempt was refused.',
  },
  'A new join token was found; attesting again': {
    level: 'info',
    fields: {},
    means: 'It may end a lock-out, a refusal or a revocation.',
  },
  'An earlier node attestation did not finish; its join token may be used up': {
    level: 'warning',
    fields: { code: 'text', sent_at: 'time' },
    means: 'The agent ended after it had sent the join token and before it had the certificate.',
    todo: 'If attestation fails now, give the node a fresh join token.',
  },
  'Agent was made inactive by an administrator': {
    level: 'error',
    lookFor: true,
    fields: { 'error?': 'error', 'valid_until?': 'time' },
    means: 'Logged once per run. Nothing is renewed until the node has a join token that was never used.',
    todo: 'If the node is to come back, activate it on the ICP server, or give it a fresh join token.',
  },
  'ICP server has a new issuer; the agent SVID is renewed early': {
    level: 'info',
    lookFor: true,
    fields: { renews_in_seconds: 'number' },
    means:
      "An answer names an authority that did not issue the agent's certificate. Agents renew within a minute, spread out.",
  },
  'ICP server accepts the other certificate of the agent': {
    level: 'info',
    lookFor: true,
    fields: { certificate: 'text' },
    means: 'The CA behind the ICP server changes, or has changed. `certificate` is `newest` or `older`.',
  },
  'ICP server accepts no certificate of the agent': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { 'valid_until?': 'time', error: 'error' },
    means: "The ICP server refuses every certificate of the agent's that is valid.",
    todo: 'See whether the CA of the server changed, and whether the agent is listed there.',
  },
  'ICP server accepts the agent again': {
    level: 'info',
    fields: SPELL,
    ends: 'ICP server accepts no certificate of the agent',
  },
  'Agent identity restored': {
    level: 'info',
    fields: IDENTITY,
    means: 'The agent SVID of an earlier run is still valid.',
  },
  'Agent identity file set aside': {
    level: 'warning',
    fields: { path: 'text', reason: 'text', detail: 'text' },
    means:
      'The file cannot be read, or belongs to another account or node. It is kept under another name, and the node attests again.',
    todo: 'If `reason` names another node, give each node a data directory of its own.',
  },
  'Agent identity cannot be written and is in memory only': {
    level: 'warning, then debug',
    fields: { error: 'error' },
    means: 'The disk is full or fails. The agent uses and renews its SVID, and writes it as soon as it can.',
    todo: 'Mend the disk before the agent restarts: a join token that is used up cannot be used again.',
  },
  'Agent identity is on disk again': {
    level: 'info',
    fields: SPELL,
    ends: 'Agent identity cannot be written and is in memory only',
  },
} as const satisfies LineTable
