import { type LineTable, SPELL } from './spec.js'

const ENTRY = { entry_id: 'text', spiffe_id: 'text' } as const

/** Registration entries, SVIDs, bundles: what the agent holds for workloads. */
export const ENTRY_LINES = {
  'Registration entries changed': {
    level: 'info',
    lookFor: true,
    fields: { total: 'number', added: 'number', changed: 'number', removed: 'number' },
    means: 'An entry sync found added, changed or removed entries.',
  },
  'Entry sync failed': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { error: 'error' },
    means: 'The agent keeps serving the known entries, and tries again.',
    todo: 'Look up the code of `error` in [errors.md](errors.md).',
  },
  'Entry sync works again': { level: 'info', fields: SPELL, ends: 'Entry sync failed' },
  'Entry sync returned none of the known entries; asking again before withdrawing them': {
    level: 'warning',
    fields: { count: 'number' },
    means: 'The answer would withdraw everything, so the agent asks again.',
    todo: 'If the entries of this node were not deleted, check the ICP server.',
  },
  'Entry sync returned none of the known entries, unconfirmed; keeping them': {
    level: 'error, then debug',
    fields: { count: 'number' },
    means:
      'The ICP server still issues an SVID for an entry that it does not list, or does not answer. The agent keeps its entries.',
    todo: 'Check the ICP server, and whether the node is still attached to its entries.',
  },
  'Entry sync returns known entries again': {
    level: 'info',
    fields: {},
    ends: 'Entry sync returned none of the known entries, unconfirmed; keeping them',
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
    means: 'For one set of selectors the ICP server issues one entry only, and it is not this one. Once for each pair.',
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
      'Logged once, at the first such SVID. PKI roles have this default; py-spiffe and the Rust crate `spiffe` reject such SVIDs ([interop.md](interop.md#svids-without-basicconstraints)).',
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
  'Workload SVID of a removed entry cannot be revoked: the ICP server deleted its record with the entry': {
    level: 'warning, then info',
    fields: { serial: 'text', 'remedy?': 'text' },
    means:
      'Servers of the workspace API delete what they know of an SVID with its entry. The SVID with this serial is valid until it expires.',
    todo: 'Revoke the SVID on the ICP server first, then delete its entry.',
  },
  'Trust bundle changed': {
    level: 'info',
    lookFor: true,
    fields: { trust_domains: 'number', authorities: 'objects' },
    means: 'An authority was added or removed.',
  },
  'A certificate in the trust bundle of the ICP server is left out': {
    level: 'warning',
    fields: { fingerprint: 'text', error: 'error' },
    means:
      'It cannot verify SVIDs, for the reason in `error`. The other certificates are used. Once for each certificate.',
    todo: 'Remove it from the bundle on the ICP server.',
  },
  'Bundle poll failed': {
    level: 'warning, then debug',
    fields: { error: 'error' },
    means: 'The bundle of the ICP server could not be read. A server that publishes none (404, 500) causes no warning.',
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
    means: 'The caller gets the reason.',
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
      'A key was added or removed. `sharing_a_kid`: how many older keys have the `kid` of a newer one; they are served under their fingerprints.',
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
    means: 'The keys of JWT-SVIDs could not be read. The known keys stay in use.',
    todo: 'Look up the code of `error` in [errors.md](errors.md).',
  },
  'JWT bundle poll works again': { level: 'info', fields: SPELL, ends: 'JWT bundle poll failed' },
} as const satisfies LineTable
