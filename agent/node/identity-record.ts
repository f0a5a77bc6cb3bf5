import { z } from 'zod'
import { pkcs8Pem, privateKeyFromPem } from '../crypto/keys.js'
import { derFromPem, pemFromDer } from '../crypto/pem.js'
import { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import type { AgentIdentity, Claimed } from './agent-identity.js'
import type { Answer, Pending } from './pending.js'

/** The shape of `data_dir/agent-identity.json`. Times are milliseconds since 1970, keys and certificates PEM. */
const certificate = {
  agent_id: z.string().min(1),
  spiffe_id: z.string(),
  workspace: z.boolean(),
  received_at: z.number(),
  chain: z.array(z.string()).min(1),
  authorities: z.array(z.string()),
}
const RECORD = z.object({
  version: z.literal(1),
  tenant_id: z.string(),
  node_id: z.string(),
  identity: z
    .object({
      ...certificate,
      spread: z.number().min(0).max(1),
      join_token_sha256: z.string().nullable(),
      key: z.string(),
    })
    .nullable(),
  pending: z
    .object({
      key: z.string(),
      since: z.number(),
      join_token: z.object({ sha256: z.string(), at: z.number() }).nullable(),
      answer: z.object(certificate).nullable(),
    })
    .nullable(),
})

type Certificate = z.infer<typeof RECORD>['identity'] & object
type StoredAnswer = Omit<Certificate, 'spread' | 'join_token_sha256' | 'key'>

/** Whose record it is: a data directory may have been copied from another node, or the configuration changed. */
export interface Owner {
  readonly tenantId: string
  readonly nodeId: string
}

/** What the file says, keys and certificates parsed, nothing verified. */
export interface StoredRecord {
  readonly owner: Owner
  readonly identity: Claimed | null
  readonly pending: Pending | null
}

/** Throws `svid.invalid` for anything that this version did not write; the message never quotes the text. */
export function parseRecord(text: string): StoredRecord {
  const parsed = RECORD.safeParse(jsonOf(text))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new AgentError('svid.invalid', `${issue?.path.join('.') || 'the document'} is not what it must be`)
  }
  const { tenant_id, node_id, identity, pending } = parsed.data
  return {
    owner: { tenantId: tenant_id, nodeId: node_id },
    identity: identity && {
      ...answerOf(identity),
      spiffeId: SpiffeId.parse(identity.spiffe_id),
      key: new Secret(privateKeyFromPem(identity.key)),
      spread: identity.spread,
      tokenDigest: identity.join_token_sha256,
    },
    pending: pending && {
      key: new Secret(privateKeyFromPem(pending.key)),
      since: pending.since,
      token: pending.join_token && { digest: pending.join_token.sha256, at: pending.join_token.at },
      answer: pending.answer && answerOf(pending.answer),
    },
  }
}

/** The text of the file. It holds private keys: write it with mode 0600, and nowhere else. */
export function formatRecord(owner: Owner, identity: AgentIdentity | null, pending: Pending | null): string {
  const record: z.infer<typeof RECORD> = {
    version: 1,
    tenant_id: owner.tenantId,
    node_id: owner.nodeId,
    identity: identity && {
      ...stored({
        ...identity,
        named: identity.spiffeId.uri,
        authorities: identity.authorities.map((authority) => authority.der),
      }),
      spread: identity.spread,
      join_token_sha256: identity.tokenDigest,
      key: pkcs8Pem(identity.key.reveal()),
    },
    pending: pending && {
      key: pkcs8Pem(pending.key.reveal()),
      since: pending.since,
      join_token: pending.token && { sha256: pending.token.digest, at: pending.token.at },
      answer: pending.answer && stored(pending.answer),
    },
  }
  return `${JSON.stringify(record, null, 2)}\n`
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
