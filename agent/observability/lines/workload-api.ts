import { type LineTable, SPELL } from './spec.js'

const CALLER = { pid: 'number', uid: 'number', gid: 'number' } as const

/** The Workload API: its socket, connections, callers, calls. */
export const API_LINES = {
  'gRPC Workload API Server started': {
    level: 'info',
    lookFor: true,
    fields: { socket_path: 'text' },
    means: 'The socket listens.',
  },
  'Workload API is stopping': {
    level: 'info',
    fields: { streams: 'number' },
    means: 'Every stream ends with Unavailable.',
  },
  'Stale socket taken over': {
    level: 'info',
    fields: { socket_path: 'text' },
    means: 'An earlier agent did not stop in order.',
  },
  'Socket directory tightened to 0755: others could write to it': {
    level: 'warning',
    fields: { socket_path: 'text', mode: 'text' },
    means: 'Logged at the start, with the previous mode.',
    todo: 'Create the directory with mode 0755.',
  },
  'Accepting a connection failed': {
    level: 'warning, then debug',
    fields: { error: 'error' },
    means: 'Mostly because no file descriptors are left.',
    todo: 'Raise the limit of open files (`LimitNOFILE=65536`).',
  },
  'Accepting connections works again': { level: 'info', fields: SPELL, ends: 'Accepting a connection failed' },
  'Connection closed by the agent': {
    level: 'debug',
    fields: { reason: 'text', connection: 'text', 'pid?': 'number', 'uid?': 'number', 'gid?': 'number' },
    means: 'A connection was refused or dropped.',
  },
  'Caller not identified': {
    level: 'warning, then debug',
    fields: { connection: 'text', error: 'error' },
    means:
      'The kernel did not say who calls; the call fails. Once for each reason. At debug level only if the caller was ending.',
    todo: 'Look up the code of `error` in [errors.md](errors.md).',
  },
  'A connection could not be taken over': {
    level: 'error',
    fields: { connection: 'text', error: 'error' },
    means: 'A defect of the agent; the connection is closed.',
    todo: 'Report it, with the line.',
  },
  'Caller turned away: it connects or calls too often': {
    level: 'warning',
    fields: { what: 'text', reason: 'text', subject: 'text', pid: 'number or null', 'suppressed?': 'number' },
    means:
      '`what`: connections or calls. `reason`: which rate is exceeded, that of its process, of its `subject` (container or user) or of all new subjects together; `waiting`: too many of its connections or calls wait; `unfinished`: its incomplete messages take too much memory or too long, and only that call ends. Three times a minute for each subject, `what` and `reason`; `suppressed`: how many lines were left out before.',
    todo: 'Let the workload keep its connection open; the limits are under `workload_api.limits`.',
  },
  'Workload attested': {
    level: 'debug',
    fields: { ...CALLER, selectors: 'object', unavailable: 'texts', duration_ms: 'number' },
    means: 'The selectors of a caller. `unavailable`: the platforms that did not answer.',
  },
  'Workload attestation failed': {
    level: 'debug',
    fields: { ...CALLER, error: 'error' },
    means: 'The call fails with this error.',
  },
  'Workload API call denied': {
    level: 'warning, then debug',
    lookFor: true,
    fields: {
      denial_id: 'text',
      method: 'text',
      code: 'text',
      reason: 'text',
      ...CALLER,
      selectors: 'object',
      unavailable: 'texts',
      notes: 'texts',
      'suppressed?': 'number',
    },
    means:
      '`denial_id` is in the error that the caller got; `selectors` are those that were found. Three times a minute for each user, `code` and set of selectors; the next line says how many were `suppressed` (they are in the log at debug level).',
    todo: 'Compare `selectors` with those of the entry that you expected; level debug names the entries that came nearest.',
  },
  'Entries that the denied process came nearest to': {
    level: 'debug',
    fields: { denial_id: 'text', nearest: 'objects' },
    means: 'For each entry, the selectors that the process lacks or has with another value.',
  },
  'Workload API call not answered yet': {
    level: 'debug',
    fields: { method: 'text', code: 'text', reason: 'text', pid: 'number', uid: 'number' },
    means: 'A temporary answer, not a denial: the caller may retry, or its process has ended.',
  },
  'Workload matches more entries than it may hold; the youngest are left out': {
    level: 'warning, then debug',
    fields: { pid: 'number', uid: 'number', limit: 'number', 'suppressed?': 'number' },
    means: 'The limit is `workload_api.max_identities`. Three times a minute for each user.',
    todo: 'Make the selectors of the entries narrower.',
  },
  'Entry no longer matches by a label that the image was built with': {
    level: 'warning',
    fields: { entry: 'text', spiffe_id: 'text', remedy: 'text' },
    means: 'Labels of images grant nothing under `docker:label`. Once for each entry.',
    todo: 'Do what `remedy` says.',
  },
  'Entry requires unix:sha256 but neither a user nor a container': {
    level: 'warning',
    fields: { entry_id: 'text', spiffe_id: 'text', consequence: 'text', remedy: 'text' },
    means: 'Every user of the node can obtain this SVID. Once for each entry.',
    todo: 'Add `unix:uid`, or selectors of a container or pod, to the entry.',
  },
  'SDS client rejected secrets': {
    level: 'error, then debug',
    fields: {
      method: 'text',
      pid: 'number',
      uid: 'number',
      names: 'texts',
      code: 'number',
      reason: 'text',
      'suppressed?': 'number',
    },
    means:
      'An Envoy rejected the secrets of these `names` for the `reason` that it gives, and keeps those that it had. The agent sends it nothing until something changes. Three times a minute for each user.',
    todo: 'Compare the configuration of that Envoy with [envoy.md](envoy.md).',
  },
  'SDS client requests a name that can never be served': {
    level: 'warning, then debug',
    fields: { method: 'text', pid: 'number', uid: 'number', name: 'text', reason: 'text', 'suppressed?': 'number' },
    means:
      'No entry and no bundle can answer this `name`; the other names of the client are answered. Once for each stream, three times a minute for each user.',
    todo: 'Correct the name in the configuration of the client, or the names under `sds`.',
  },
  'Workload API handler failed': {
    level: 'error',
    fields: { method: 'text', error: 'error' },
    means: 'A defect of the agent; the call fails with Internal.',
    todo: 'Report it, with the line.',
  },
} as const satisfies LineTable
