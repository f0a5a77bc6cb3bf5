import { type KeyObject, X509Certificate } from 'node:crypto'
import { request as httpsRequest } from 'node:https'
import { createCsr } from '../../../agent/crypto/csr.js'
import { pkcs8Pem } from '../../../agent/crypto/keys.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import type { DevIcpOptions } from '../../../dev/icp-server/options.js'
import { startDevIcp } from '../../../dev/icp-server/server.js'
import { TemporaryFiles } from '../../fakes/files.js'
import { rsaKey } from '../../fakes/keys.js'

export interface OpenDevIcp extends AsyncDisposable {
  readonly icp: DevIcp
  readonly files: TemporaryFiles
}

/** An embedded ICP server on a free port with its state in a temporary directory, without limits unless asked for. */
export async function openDevIcp(options: Partial<DevIcpOptions> = {}): Promise<OpenDevIcp> {
  const files = await TemporaryFiles.create()
  try {
    const icp = await startDevIcp({
      clock: new SystemClock(),
      files,
      dataDir: files.path('icp'),
      limits: 'off',
      ...options,
    })
    return {
      icp,
      files,
      [Symbol.asyncDispose]: async () => {
        await icp[Symbol.asyncDispose]()
        await files[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await files[Symbol.asyncDispose]()
    throw error
  }
}

/** What a client presents in the TLS handshake. */
export interface ClientIdentity {
  readonly certificate: string
  readonly key: KeyObject
}

export interface CallOptions {
  readonly body?: unknown
  /** Sent as it is, instead of JSON. */
  readonly rawBody?: string
  readonly identity?: ClientIdentity
  readonly bearer?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Loopback address to come from: limits go by it. */
  readonly from?: string
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** The parsed body; empty where it is no JSON object. */
  readonly json: AnswerBody
}

/** Every member that tests read, whichever endpoint sends it: a test that reads a missing one fails by its value. */
export interface AnswerBody {
  readonly id: string
  readonly agent_id: string
  readonly entry_id: string
  readonly spiffe_id: string
  readonly certificate: string
  readonly ca_bundle: string
  readonly trust_bundle: string
  readonly private_key: string
  readonly token: string
  readonly ttl: number
  readonly total: number
  readonly valid: boolean
  readonly expires_at: string
  readonly error: { readonly code: string; readonly message: string }
  readonly entries: readonly AnswerBody[]
  readonly keys: readonly Readonly<Record<string, string>>[]
  readonly [member: string]: unknown
}

/** One request on a connection of its own. Rejects when the connection breaks. */
export async function call(
  icp: Pick<DevIcp, 'address' | 'caPem'>,
  method: string,
  path: string,
  options: CallOptions = {},
): Promise<Answer> {
  const { identity, body, bearer, from } = options
  const payload = options.rawBody ?? (body === undefined ? undefined : JSON.stringify(body))
  return await new Promise<Answer>((resolve, reject) => {
    const request = httpsRequest(`${icp.address}${path}`, {
      method,
      agent: false,
      ca: icp.caPem,
      ...(identity ? { cert: identity.certificate, key: pkcs8Pem(identity.key) } : {}),
      ...(from === undefined ? {} : { localAddress: from }),
      headers: {
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
    })
    request.on('error', reject)
    request.on('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8')
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: parsed(text) })
      })
    })
    request.end(payload)
  })
}

/** A request of the administrator. */
export async function adminCall(icp: DevIcp, method: string, path: string, body?: unknown): Promise<Answer> {
  return await call(icp, method, path, { bearer: icp.adminToken, ...(body === undefined ? {} : { body }) })
}

export async function csrFor(uri: string, commonName = 'svid@localhost', keyNumber = 0): Promise<string> {
  return await createCsr({ key: await rsaKey(keyNumber), uri, commonName })
}

export function agentId(icp: DevIcp, nodeId = 'node-1'): string {
  return `spiffe://${icp.tenantId}/agent/${nodeId}`
}

/** The serial number of a certificate as revocation names it. */
export function serialOf(pem: string): string {
  const hex = new X509Certificate(pem).serialNumber.toLowerCase()
  return hex.match(/../g)?.join(':') ?? ''
}

/** The body of a node attestation that the server accepts. */
export async function attestBody(
  icp: DevIcp,
  change: Readonly<Record<string, unknown>> = {},
): Promise<Record<string, unknown>> {
  return {
    tenant_id: icp.tenantId,
    workspace_id: icp.tenantId,
    node_id: 'node-1',
    attestation_type: 'unix',
    evidence: { pid: 7, username: 'agent', hostname: 'node-1' },
    csr: await csrFor(agentId(icp)),
    ...change,
  }
}

/** Attests a node and returns what its agent presents from then on. */
export async function attestedAgent(icp: DevIcp, nodeId = 'node-1'): Promise<ClientIdentity & { agentId: string }> {
  const token = icp.generation === 'workspace' ? (await icp.createJoinToken()).token : undefined
  const body = await attestBody(icp, {
    node_id: nodeId,
    csr: await csrFor(agentId(icp, nodeId)),
    ...(token === undefined ? {} : { join_token: token }),
  })
  const { status, json } = await call(icp, 'POST', '/v1/node/attest', { body })
  if (status !== 200) throw new TypeError(`the node was not attested: ${status}`)
  return { certificate: json.certificate, key: await rsaKey(0), agentId: json.agent_id }
}

function parsed(text: string): AnswerBody {
  try {
    return Object(JSON.parse(text))
  } catch {
    return Object({})
  }
}
