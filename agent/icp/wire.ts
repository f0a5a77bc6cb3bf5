import * as z from 'zod'
import { privateKeyFromPem } from '../crypto/keys.js'
import { derFromPem } from '../crypto/pem.js'
import { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import type { AttestedNode, IssuedCertificate, IssuedJwt, Jwk, JwtValidationAnswer } from './control-plane.js'

/**
 * Parsers of the ICP server's JSON, of both generations. Unknown members are ignored, and null counts as absent. `ttl` and
 * `expires_at` are not read: the server computes them independently of the certificate, and in at least one path wrongly.
 * Parsers throw ZodError, or `svid.invalid` for invalid PEM.
 */
const text = z.string().max(1_048_576)
const optionalText = text.nullish().transform((value) => value ?? '')
const name = z.string().min(1).max(2048)

const certificateFields = {
  spiffe_id: name,
  certificate: text.regex(/\S/),
  private_key: optionalText,
  ca_bundle: optionalText,
  trust_bundle: optionalText,
  ca_chain: z.array(text).max(16).nullish(),
}
const issued = z.object(certificateFields)
const attested = z.object({ ...certificateFields, agent_id: z.string().min(1).max(255), workspace_id: optionalText })
const bundleReply = z.object({ ca_bundle: text.regex(/\S/) })
const jwtReply = z.object({ spiffe_id: name, token: z.string().min(1).max(65_536) })
const jwks = z.object({ keys: z.array(z.record(z.string(), z.unknown())).max(256) })
const validation = z.object({ valid: z.boolean(), spiffe_id: optionalText })

export function parseIssued(json: unknown): IssuedCertificate {
  return certificateOf(issued.parse(json))
}

export function parseAttested(json: unknown): AttestedNode {
  const reply = attested.parse(json)
  return { ...certificateOf(reply), agentId: reply.agent_id, workspace: reply.workspace_id !== '' }
}

export function parseBundle(json: unknown): readonly Uint8Array[] {
  return certificates(bundleReply.parse(json).ca_bundle)
}

export function parseJwt(json: unknown): IssuedJwt {
  const reply = jwtReply.parse(json)
  return { spiffeId: reply.spiffe_id, token: new Secret(reply.token) }
}

/** Members of a public key (RFC 7517, 7518); anything else, private members above all, is dropped. */
const PUBLIC_MEMBERS = ['kty', 'use', 'key_ops', 'alg', 'kid', 'n', 'e', 'crv', 'x', 'y', 'x5c']

export function parseJwks(json: unknown): readonly Jwk[] {
  return jwks
    .parse(json)
    .keys.map((key) => Object.fromEntries(Object.entries(key).filter(([member]) => PUBLIC_MEMBERS.includes(member))))
}

export function parseValidation(json: unknown): JwtValidationAnswer {
  const reply = validation.parse(json)
  return { valid: reply.valid, spiffeId: reply.spiffe_id }
}

/** `{"error":{"code","message"}}` of the handlers, `{"error":"text"}` of the layers around them, or neither. */
export interface ErrorReply {
  readonly form: 'handler' | 'layer' | 'none'
  readonly code: string
  readonly message: string
}

const handlerError = z.object({ error: z.object({ code: z.string().max(64), message: optionalText }) })
const layerError = z.object({ error: text, message: optionalText })

/** Never throws: an answer that is not an error of the server has the form `none`. */
export function parseError(body: Buffer): ErrorReply {
  let json: unknown
  try {
    json = JSON.parse(body.subarray(0, 65_536).toString('utf8'))
  } catch {
    return { form: 'none', code: '', message: '' } // HTML of a proxy, an empty body
  }
  const handler = handlerError.safeParse(json)
  if (handler.success) return { form: 'handler', ...handler.data.error }
  const layer = layerError.safeParse(json)
  if (!layer.success) return { form: 'none', code: '', message: '' }
  return { form: 'layer', code: '', message: layer.data.message || layer.data.error }
}

function certificateOf(reply: z.infer<typeof issued>): IssuedCertificate {
  const chain = [reply.certificate, ...(reply.ca_chain ?? [])].flatMap(certificates)
  return {
    spiffeId: reply.spiffe_id,
    chain: distinct(chain),
    bundle: distinct([reply.ca_bundle, reply.trust_bundle].flatMap(certificates)),
    ...(reply.private_key === '' ? {} : { serverKey: new Secret(privateKeyFromPem(reply.private_key)) }),
  }
}

/** Empty for an empty text; any other text without a certificate is an error. */
function certificates(pem: string): Uint8Array[] {
  const ders = derFromPem(pem, 'CERTIFICATE', { maxBlocks: 64 })
  if (ders.length === 0 && pem.trim() !== '') throw new AgentError('svid.invalid', 'a text holds no PEM certificate')
  return ders
}

function distinct(ders: readonly Uint8Array[]): Uint8Array[] {
  return [...new Map(ders.map((der) => [Buffer.from(der).toString('base64'), der])).values()]
}
