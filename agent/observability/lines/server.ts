import { type LineTable, SPELL } from './spec.js'

/** The way to the ICP server. */
export const SERVER_LINES = {
  'ICP server cannot be reached': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { endpoint: 'text', error: 'error' },
    means: 'No answer came: no connection, no TLS, or a timeout. The agent keeps serving what it has.',
    todo: 'Check network, proxy, DNS and certificates between the node and the ICP server.',
  },
  'ICP server answers again': { level: 'info', fields: SPELL, ends: 'ICP server cannot be reached' },
  'ICP server request failed': {
    level: 'debug',
    fields: { endpoint: 'text', code: 'text', reason: 'text' },
    means: 'The ICP server answered with an error.',
  },
  'ICP server throttled a request': {
    level: 'debug',
    fields: { endpoint: 'text', retry_after_seconds: 'number' },
    means: 'The ICP server answered 429 ([rate-limits.md](rate-limits.md)).',
  },
  'ICP server request retried': {
    level: 'debug',
    fields: { endpoint: 'text', code: 'text', attempt: 'number', wait_seconds: 'number' },
    means: 'The agent sends the same request again after a wait.',
  },
  'ICP server fails on our client certificate; no longer presenting it': {
    level: 'warning',
    fields: { endpoint: 'text' },
    means:
      'The ICP server answers 500 to the client certificate, or its process dies. The agent presents none until the node attests again.',
    todo: 'Report it to who runs the ICP server.',
  },
  'ICP server wants client certificates': {
    level: 'info',
    fields: { endpoint: 'text' },
    means: 'The ICP server named no workspace, and refuses requests without a certificate. The agent presents its own.',
  },
  'The clocks of this machine and of the ICP server differ': {
    level: 'warning',
    lookFor: true,
    fields: { skew_seconds: 'number' },
    means: 'By more than 30 seconds; positive: the clock of the ICP server is ahead.',
    todo: 'Correct the clock, before certificates seem expired.',
  },
  'The clocks of this machine and of the ICP server agree again': {
    level: 'info',
    fields: { skew_seconds: 'number' },
    ends: 'The clocks of this machine and of the ICP server differ',
  },
  'The clock of the certificate authority is ahead of this machine': {
    level: 'warning',
    fields: { ahead_seconds: 'number' },
    means: 'A new certificate begins more than 5 seconds in the future.',
    todo: 'Correct the clock of this machine or of the certificate authority.',
  },
  'The trust bundle of the ICP server changed': {
    level: 'info',
    fields: { path: 'text' },
    means: 'The file of `icp_service.trust_bundle_path` changed, and the agent trusts what it holds now.',
  },
} as const satisfies LineTable
