import * as z from 'zod'

/** The format of the records; an incompatible change increments the number. */
export const AUDIT_SCHEMA = 'icp-agent/audit/1'

const time = z.iso.datetime().describe('UTC')
const text = z.string().max(4096)
const spiffeId = z.string().startsWith('spiffe://').max(2048)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const count = z.int().min(1)

export const who = z
  .strictObject({
    pid: z.int(),
    uid: z.int(),
    gid: z.int(),
    program: text.nullable().describe('`unix:path`, if it was attested'),
    program_sha256: text.nullable().describe('`unix:sha256`, if an entry requires it'),
    container: text.nullable().describe('`docker:container-id`, else `k8s:container-name`'),
    pod: text.nullable().describe('`NAMESPACE/NAME`'),
    unit: text.nullable().describe('`systemd:id`'),
    selectors_sha256: sha256
      .nullable()
      .describe('SHA-256 of the JSON of the sorted list of `[key, value]`; null if it was not attested'),
  })
  .describe('The process as the kernel and the attestors identified it; nothing here is its own statement.')

const jwt = {
  spiffe_id: spiffeId,
  token_id: text.describe('`jti`, or the SHA-256 of a token without one'),
  audience: z.array(z.string().max(256)).max(16),
  audiences: z.int().describe('Number of audiences; the list has the first 16, each cut at 256 characters'),
  expires: time,
}
const x509 = { spiffe_id: spiffeId, serial: text, not_after: time }

/** Fields of each type of record besides the common ones; docs/audit.md has the same table. */
export const RECORDS = {
  agent_started: {
    fields: { version: text, tenant_id: text },
    means: 'The audit log begins: the agent started, or a reload turned it on or moved it.',
  },
  agent_stopped: { fields: {}, means: 'The agent stops.' },
  audit_moved: { fields: {}, means: 'A reload changed `audit.path`; the following records are not here.' },
  x509_svid_served: {
    fields: { who, entry_id: text, ...x509 },
    means: 'The agent is about to send a process an X.509-SVID; once per process and serial.',
  },
  jwt_svid_served: {
    fields: { who, ...jwt },
    means: 'The agent is about to send a process a JWT-SVID; once per process and token.',
  },
  denied: {
    fields: { who, denial_id: text, method: text, code: text, reason: text },
    means: 'The agent denied a call; once per denial id.',
  },
  repeated: {
    fields: {
      of: z.int().describe('`seq` of the record that was repeated'),
      of_type: z.enum(['x509_svid_served', 'jwt_svid_served', 'denied']),
      times: count.describe('How often, not counting the first time'),
      last_time: time,
    },
    means:
      'Closes a record that was repeated: the SVID was replaced or expired, the process ended, the denial was not repeated for ten minutes, the target changed, or the agent stops.',
  },
  x509_svid_issued: { fields: { entry_id: text, ...x509 }, means: 'The ICP server issued an X.509-SVID.' },
  jwt_svid_issued: { fields: { entry_id: text, ...jwt }, means: 'The ICP server issued a JWT-SVID.' },
  x509_svid_revoked: { fields: { serial: text }, means: 'The ICP server revoked an X.509-SVID.' },
  entry_withdrawn: {
    fields: { entry_id: text },
    means: 'The ICP server no longer lists an entry; the agent stops serving it.',
  },
  node_attested: {
    fields: { ...x509, how: z.enum(['attested', 'renewed']) },
    means: 'The agent got its own SVID, by node attestation or renewal.',
  },
  configuration_changed: {
    fields: { keys: z.array(text).max(100), how: text },
    means:
      'A reload changed settings, or `icp-agent log-level` the level. The record has the names only: values may be secret.',
  },
  admin_access: {
    fields: { pid: z.int(), uid: z.int() },
    means: 'An administrator connected to the admin socket; once per connection.',
  },
  audit_lost: {
    fields: { records: count, since: time },
    means: '`records` records before this one were lost, because the target took none and the buffer was full.',
  },
} as const

export type RecordType = keyof typeof RECORDS

type ValuesOf<T extends RecordType> = {
  -readonly [K in keyof (typeof RECORDS)[T]['fields']]: (typeof RECORDS)[T]['fields'][K] extends z.ZodType<infer V>
    ? V
    : never
}

/** A record without the common fields. */
export type RecordFields<T extends RecordType = RecordType> = ValuesOf<T>

export type Who = z.infer<typeof who>

/** One line of the audit log. */
export function recordSchema() {
  const common = {
    schema: z.literal(AUDIT_SCHEMA),
    time,
    seq: z.int().min(1).describe('Counts the records since the agent started, lost ones included'),
    node_id: text,
  }
  const kinds = Object.entries(RECORDS).map(([type, { fields, means }]) =>
    z.strictObject({ ...common, type: z.literal(type), ...fields }).describe(means),
  )
  return z.union(kinds)
}

export const AUDIT_SCHEMA_ID =
  'https://raw.githubusercontent.com/authsec-ai/icp-agent/main/docs/schemas/audit-1.schema.json'

/** The JSON schema of a line. */
export function auditJsonSchema(): unknown {
  const { $schema, ...schema } = z.toJSONSchema(recordSchema())
  return { $schema, $id: AUDIT_SCHEMA_ID, title: 'A record of the audit log of icp-agent', ...schema }
}
