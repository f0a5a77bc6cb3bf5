import type { KeyObject } from 'node:crypto'
import * as z from 'zod'
import { pkcs8Pem, privateKeyFromPem } from '../crypto/keys.js'
import { derFromPem, pemFromDer } from '../crypto/pem.js'
import { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import type { AgentSvid, UnverifiedAgentSvid } from './agent-svid.js'
import type { Certificates } from './certificates.js'

/** The server's answer to an attestation or a renewal; neither verified nor in use. */
export interface Answer {
  readonly agentId: string
  /** The SPIFFE ID that the answer names. */
  readonly named: string
  readonly workspace: boolean
  readonly receivedAt: number
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  /** DER; empty if the server sent none. */
  readonly authorities: readonly Uint8Array[]
}

/** A join token that was sent, and when: since then the server may have consumed it. */
export interface SentToken {
  readonly digest: string
  readonly at: number
}

/**
 * An attempt whose certificate is not in use yet. It is on disk before its request is sent, so that after a crash the
 * agent has its key, and knows which join token may be consumed.
 */
export interface Pending {
  readonly key: Secret<KeyObject>
  /** When the key was made. */
  readonly since: number
  readonly token: SentToken | null
  /**
   * An answer that cannot be verified yet, because its issuer is not known. It is kept, because the join token that it
   * cost is consumed.
   */
  readonly answer: Answer | null
}

/** The shape of `data_dir/agent-identity.json`. Times are milliseconds since 1970, keys and certificates PEM. */
const certificate = {
  agent_id: z.string().min(1),
  spiffe_id: z.string(),
  workspace: z.boolean(),
  received_at: z.number(),
  chain: z.array(z.string()).min(1),
  authorities: z.array(z.string()),
}
const identity = z.object({
  ...certificate,
  spread: z.number().min(0).max(1),
  join_token_sha256: z.string().nullable(),
  key: z.string(),
})
/** The server's answers to the certificates; versions that do not know this member omit it. */
const reception = z.object({
  older_first: z.boolean(),
  accepted_at: z.number().nullable(),
  refused_since: z.number().nullable(),
  inactive: z.object({ since: z.number(), join_token_sha256: z.string().nullish() }).nullable(),
  used_join_tokens: z.array(z.string()),
  fails_at: z.array(z.enum(['agents', 'jwt'])).optional(),
})
const RECORD = z.object({
  version: z.literal(1),
  tenant_id: z.string(),
  node_id: z.string(),
  identity: identity.nullable(),
  pending: z
    .object({
      key: z.string(),
      since: z.number(),
      join_token: z.object({ sha256: z.string(), at: z.number() }).nullable(),
      answer: z.object(certificate).nullable(),
    })
    .nullable(),
  // Older versions ignore these members and drop them when they write. An invalid one is dropped without `identity`.
  older_identity: identity.nullish().catch(null),
  reception: reception.nullish().catch(null),
})

type StoredIdentity = z.infer<typeof identity>
type StoredAnswer = Omit<StoredIdentity, 'spread' | 'join_token_sha256' | 'key'>

/** The owner of the record: a data directory may be a copy of another node's, or the configuration changed. */
export interface RecordOwner {
  readonly tenantId: string
  readonly nodeId: string
}

/** The content of the file: keys and certificates are parsed, nothing is verified. */
export interface StoredRecord {
  readonly owner: RecordOwner
  readonly identity: UnverifiedAgentSvid | null
  readonly pending: Pending | null
  readonly older: UnverifiedAgentSvid | null
  readonly reception: Reception
}

/** The part of the server's answers to the certificates that is kept across restarts. */
export interface Reception extends Pick<Certificates, 'first' | 'acceptedAt' | 'inactive' | 'usedTokens' | 'failsAt'> {
  readonly refusedSince: number | null
}

/** Throws `svid.invalid` for anything that this version did not write; the message never quotes the text. */
export function parseRecord(text: string): StoredRecord {
  const parsed = RECORD.safeParse(jsonOf(text))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new AgentError('svid.invalid', `${issue?.path.join('.') || 'the document'} does not have the expected form`)
  }
  const { tenant_id, node_id, identity, pending, older_identity, reception } = parsed.data
  return {
    owner: { tenantId: tenant_id, nodeId: node_id },
    identity: identity && claimed(identity),
    older: older_identity ? readable(older_identity) : null,
    reception: {
      first: reception?.older_first ? 'older' : 'newest',
      acceptedAt: reception?.accepted_at ?? null,
      refusedSince: reception?.refused_since ?? null,
      inactive: reception?.inactive
        ? { since: reception.inactive.since, tokenDigest: reception.inactive.join_token_sha256 }
        : null,
      usedTokens: reception?.used_join_tokens ?? [],
      failsAt: reception?.fails_at ?? [],
    },
    pending: pending && {
      key: new Secret(privateKeyFromPem(pending.key)),
      since: pending.since,
      token: pending.join_token && { digest: pending.join_token.sha256, at: pending.join_token.at },
      answer: pending.answer && answerOf(pending.answer),
    },
  }
}

/** The text of the file. It holds private keys: write it with mode 0600, and to that file only. */
export function formatRecord(owner: RecordOwner, certificates: Certificates, pending: Pending | null): string {
  const { newest, older, first, acceptedAt, refusal, inactive, usedTokens, failsAt } = certificates
  const record: z.infer<typeof RECORD> = {
    version: 1,
    tenant_id: owner.tenantId,
    node_id: owner.nodeId,
    identity: newest && storedIdentity(newest),
    pending: pending && {
      key: pkcs8Pem(pending.key.reveal()),
      since: pending.since,
      join_token: pending.token && { sha256: pending.token.digest, at: pending.token.at },
      answer: pending.answer && stored(pending.answer),
    },
    older_identity: older && storedIdentity(older),
    reception: {
      older_first: first === 'older',
      accepted_at: acceptedAt,
      refused_since: refusal?.since ?? null,
      inactive: inactive && { since: inactive.since, join_token_sha256: inactive.tokenDigest },
      used_join_tokens: [...usedTokens],
      fails_at: [...failsAt],
    },
  }
  return `${JSON.stringify(record, null, 2)}\n`
}

function claimed(from: StoredIdentity): UnverifiedAgentSvid {
  return {
    ...answerOf(from),
    spiffeId: SpiffeId.parse(from.spiffe_id),
    key: new Secret(privateKeyFromPem(from.key)),
    spread: from.spread,
    tokenDigest: from.join_token_sha256,
  }
}

/** Null if it cannot be parsed: the newest certificate does not depend on it. */
function readable(from: StoredIdentity): UnverifiedAgentSvid | null {
  try {
    return claimed(from)
  } catch (error) {
    if (!(error instanceof AgentError)) throw error
    return null
  }
}

function storedIdentity(identity: AgentSvid): StoredIdentity {
  return {
    ...stored({
      ...identity,
      named: identity.spiffeId.uri,
      authorities: identity.authorities.map((authority) => authority.der),
    }),
    spread: identity.spread,
    join_token_sha256: identity.tokenDigest,
    key: pkcs8Pem(identity.key.reveal()),
  }
}

function answerOf(from: StoredAnswer): Answer {
  return {
    agentId: from.agent_id,
    named: from.spiffe_id,
    workspace: from.workspace,
    receivedAt: from.received_at,
    chain: from.chain.map(oneCertificate),
    authorities: from.authorities.map(oneCertificate),
  }
}

function stored(answer: Answer): StoredAnswer {
  return {
    agent_id: answer.agentId,
    spiffe_id: answer.named,
    workspace: answer.workspace,
    received_at: answer.receivedAt,
    chain: answer.chain.map((der) => pemFromDer(der, 'CERTIFICATE')),
    authorities: answer.authorities.map((der) => pemFromDer(der, 'CERTIFICATE')),
  }
}

function oneCertificate(pem: string): Uint8Array {
  const [der, ...more] = derFromPem(pem, 'CERTIFICATE')
  if (!der || more.length > 0) throw new AgentError('svid.invalid', 'a certificate is missing')
  return der
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Without the cause: its message quotes the text, which holds keys.
    throw new AgentError('svid.invalid', 'it is not JSON')
  }
}
