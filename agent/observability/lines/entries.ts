import { type LineTable, SPELL } from './spec.js'

const ENTRY = { entry_id: 'text', spiffe_id: 'text' } as const

/** Registration entries, SVIDs, bundles: what the agent holds for workloads. */
export const ENTRY_LINES = {
  'Registration entries changed': {
    level: 'info',
    lookFor: true,
    fields: { total: 'number', added: 'number', changed: 'number', removed: 'number' },
    means: 'An entry sync brought a difference.',
  },
  'Entry sync failed': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { error: 'error' },
    means: 'The agent serves what it knows, and tries again.',
    todo: 'Look up the code of `error` in [errors.md](errors.md).',
  },
  'Entry sync works again': { level: 'info', fields: SPELL, ends: 'Entry sync failed' },
  'The server names none of the known entries any more; asking once more before that counts': {
    level: 'warning',
    fields: { count: 'number' },
    means: 'The answer would withdraw everything, so the agent asks again.',
    todo: 'If the entries of this node were not deleted, check the ICP server.',
  },
  'The server lists none of the known entries, but has not confirmed that they are gone; they stay': {
    level: 'error, then debug',
    fields: { count: 'number' },
    means:
      'The ICP server still issues for an entry that it does not list, or does not say. The agent keeps its entries.',
    todo: 'Check the ICP server, and whether the node is still attached to its entries.',
  },
  'The server lists known entries again': {
    level: 'info',
    fields: {},
    ends: 'The server lists none of the known entries, but has not confirmed that they are gone; they stay',
  },
  'Registration entry cannot be used': {
    level: 'warning',
    fields: { entry_id: 'text', reason: 'text' },
    means: 'Once for each entry and reason.',
    todo: 'Correct the entry on the ICP server.',
  },
  'Registration entry is not issued: the ICP server issues another one for its selectors': {
    level: 'warning',
    fields: { ...ENTRY, winner_entry_id: 'text', winner_spiffe_id: 'text' },
    means:
      'The ICP server picks one entry for a set of selectors, and picks another than this one. Once for each pair.',
    todo: 'Make the selectors of the two differ.',
  },
  'Workload SVID issued': {
    level: 'info',
    lookFor: true,
    fields: { ...ENTRY, serial: 'text', expires_at: 'time' },
    means: 'The first X.509-SVID of an entry.',
  },
  'Workload SVID renewal successful': {
    level: 'info',
    lookFor: true,
    fields: { ...ENTRY, serial: 'text', expires_at: 'time' },
    means: 'The X.509-SVID of an entry was rotated.',
  },
  'Workload SVID not issued': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { ...ENTRY, retry_after_seconds: 'number', error: 'error' },
    means: 'Once for each entry and error code. The agent tries again.',
    todo: 'Look up the code of `error` in [errors.md](errors.md).',
  },
  'Workload SVID issued again': { level: 'info', fields: { ...ENTRY, ...SPELL }, ends: 'Workload SVID not issued' },
  'Workload SVIDs come without the BasicConstraints extension, which some clients demand': {
    level: 'info',
    lookFor: true,
    fields: { clients: 'text', remedy: 'text' },
    means:
      'Once, at the first of them. PKI roles are so by default; py-spiffe and the Rust crate `spiffe` refuse such SVIDs ([interop.md](interop.md#svids-without-basicconstraints)).',
    todo: 'If you use these clients, do what `remedy` says.',
  },
  'Workload SVID of a new authority is held back until other nodes know it': {
    level: 'info',
    fields: { ...ENTRY, served_from: 'time' },
    means: 'The CA was rotated. The old SVID is served until then.',
  },
  'Workload SVID expired before it could be renewed': {
    level: 'error',
    lookFor: true,
    fields: ENTRY,
    means: 'A workload that used it within the last hour has no valid SVID now.',
    todo: 'Look for the line that says why it was not renewed.',
  },
  'Workload SVID of a removed entry is revoked': {
    level: 'info',
    fields: { serial: 'text' },
    means: 'Only with `security.revoke_removed`.',
  },
  'Workload SVID of a removed entry could not be revoked': {
    level: 'warning',
    fields: { serial: 'text', code: 'text' },
    means: 'Only with `security.revoke_removed`. The SVID is valid until it expires.',
    todo: 'Revoke the serial on the ICP server.',
  },
  'The server forgot a workload SVID with its entry, and cannot revoke it any more': {
    level: 'warning, then info',
    fields: { serial: 'text', 'remedy?': 'text' },
    means:
      'Servers of the workspace API do so with every entry that is deleted. The SVID with this serial is valid until it expires.',
    todo: 'Revoke the SVID on the ICP server first, then delete its entry.',
  },
  'Trust bundle changed': {
    level: 'info',
    lookFor: true,
    fields: { trust_domains: 'number', authorities: 'objects' },
    means: 'An authority came or went.',
  },
  'A certificate in the trust bundle of the ICP server is left out': {
    level: 'warning',
    fields: { fingerprint: 'text', error: 'error' },
    means: 'It is no authority, for the reason in `error`. The others count. Once for each certificate.',
    todo: 'Remove it from the bundle on the ICP server.',
  },
  'Bundle poll failed': {
    level: 'warning, then debug',
    fields: { error: 'error' },
    means:
      'The bundle that the ICP server publishes cannot be read. That a server publishes none (404, 500) is no warning.',
    todo: 'Look up the code of `error` in [errors.md](errors.md).',
  },
  'Bundle poll works again': { level: 'info', fields: SPELL, ends: 'Bundle poll failed' },
  'The ICP server publishes no bundle': {
    level: 'debug',
    fields: { error: 'error' },
    means: 'The agent takes the authorities from the answers that issue SVIDs.',
  },
  'JWT-SVID issued': { level: 'debug', fields: ENTRY, means: 'A JWT-SVID was issued.' },
  'JWT-SVID not issued': {
    level: 'debug',
    fields: { entry_id: 'text', code: 'text' },
    means: 'The caller is told why.',
  },
  'The ICP server sees no client certificate, and issues no JWT-SVIDs': {
    level: 'warning',
    lookFor: true,
    fields: { code: 'text' },
    means: 'TLS ends before the ICP server, and its ingress does not forward the client certificate.',
    todo: 'Let the ingress forward it.',
  },
  'JWT-SVIDs are issued again': {
    level: 'info',
    fields: {},
    ends: 'The ICP server sees no client certificate, and issues no JWT-SVIDs',
  },
  'JWT bundle changed': {
    level: 'info',
    fields: { keys: 'number', 'sharing_a_kid?': 'number' },
    means:
      'A key came or went. `sharing_a_kid`: so many older keys bear the `kid` of a newer one, and are served under their fingerprints.',
  },
  'The JWT bundle of the ICP server has keys that no JWT-SVID can be signed with': {
    level: 'warning',
    fields: { count: 'number' },
    means: 'These keys are left out.',
    todo: 'Remove them on the ICP server.',
  },
  'JWT bundle poll failed': {
    level: 'warning, then debug',
    fields: { error: 'error' },
    means: 'The keys of JWT-SVIDs cannot be read. Those that are known stay.',
    todo: 'Look up the code of `error` in [errors.md](errors.md).',
  },
  'JWT bundle poll works again': { level: 'info', fields: SPELL, ends: 'JWT bundle poll failed' },
} as const satisfies LineTable
