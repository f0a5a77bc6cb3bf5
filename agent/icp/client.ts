import { createHash } from 'node:crypto'
import { ZodError } from 'zod'
import { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import type { HttpResponse } from '../ports/http.js'
import { badResponse } from './answers.js'
import type { ControlPlane, EntriesAnswer, NodeEvidence, ServerSkew } from './control-plane.js'
import { type LimitOptions, limitedControlPlane } from './limited-control-plane.js'
import { type Exchange, type RequestOptions, Requests } from './requests.js'
import { parseAttested, parseBundle, parseIssued, parseJwks, parseJwt, parseValidation } from './wire.js'
import { parseEntries, problemOf } from './wire-entries.js'

const MAX_ENTRIES_BYTES = 64 * 1_048_576

export interface IcpClientOptions extends Omit<RequestOptions, 'limiter'>, LimitOptions {
  /** Last segment of the agent's SPIFFE ID; node attestation asks for it. */
  readonly nodeId: string
}

export interface IcpClient extends ControlPlane {
  readonly skew: ServerSkew
  /** True once the server is known to be of the workspace API. */
  readonly workspace: () => boolean
  /** Sets the generation that an earlier run learned from attestation: true for a server of the workspace API. */
  learnGeneration(workspace: boolean): void
}

/**
 * The ICP server over HTTPS, both generations: every request names the account as tenant and as workspace, and each
 * generation uses its own. Charges the rate limiter for each request. Errors as in ControlPlane.
 */
export function createIcpClient(options: IcpClientOptions): IcpClient {
  const requests = new Requests(options)
  const workspace = () => requests.identity.workspace
  return {
    ...limitedControlPlane(exchanges(requests, options), options, workspace),
    skew: requests.clock.skew,
    workspace,
    learnGeneration: (known) => requests.identity.learnGeneration(known),
  }
}

/** Each call as one exchange of JSON. */
function exchanges(requests: Requests, { tenantId, nodeId }: IcpClientOptions): ControlPlane {
  const account = { tenant_id: tenantId, workspace_id: tenantId }
  let lastEntries: { readonly key: string; readonly answer: EntriesAnswer } | null = null

  const call = <T>(exchange: Exchange, parse: (json: unknown) => T): Promise<T> =>
    requests.send(exchange, (response) => read(exchange, response, parse))

  return {
    async attestNode({ evidence, csrPem }, signal) {
      const { values, secrets } = revealed(evidence)
      const token = evidence.joinToken?.reveal()
      const node = await call(
        {
          endpoint: 'attest_node',
          body: {
            ...account,
            ...(token === undefined ? {} : { join_token: token }),
            node_id: nodeId,
            attestation_type: evidence.type,
            evidence: values,
            csr: await csrPem,
          },
          secrets: token === undefined ? secrets : [token, ...secrets],
          // The server consumes the token before it issues, so after a failure it may be used up.
          once: token !== undefined,
          signal,
        },
        parseAttested,
      )
      requests.identity.attested(node.workspace)
      return node
    },

    async renewAgent({ agentId, csrPem }, signal) {
      const body = { ...account, agent_id: agentId, csr: await csrPem }
      return await call({ endpoint: 'renew_agent', body, signal }, parseIssued)
    },

    entries(agent, signal) {
      const query = { ...account, parent_id: agent.uri }
      const exchange = { endpoint: 'entries', query, maxBytes: MAX_ENTRIES_BYTES, signal } as const
      return requests.send(exchange, (response): EntriesAnswer => {
        const key = `${agent.uri} ${createHash('sha256').update(response.body).digest('hex')}`
        if (lastEntries?.key === key) return { ...lastEntries.answer, unchanged: true }
        const answer = { unchanged: false, ...read(exchange, response, (json) => parseEntries(json, agent)) }
        lastEntries = { key, answer }
        return answer
      })
    },

    async signWorkload({ agent, selectors, csrPem }, signal) {
      const body = { ...account, agent_id: agent.uri, selectors: Object.fromEntries(selectors), csr: await csrPem }
      return await call({ endpoint: 'sign_workload', body, signal }, parseIssued)
    },

    async revokeWorkload(serial, signal) {
      const body = { ...account, serial_number: serial }
      await requests.send({ endpoint: 'revoke_workload', body, signal }, () => undefined)
    },

    bundle(signal) {
      return call({ endpoint: 'bundle', signal }, parseBundle)
    },

    issueJwt({ spiffeId, audience }, signal) {
      const body = { ...account, spiffe_id: spiffeId.uri, audience }
      return call({ endpoint: 'issue_jwt', body, signal }, parseJwt)
    },

    jwtBundle(signal) {
      return call({ endpoint: 'jwt_bundle', query: account, signal }, parseJwks)
    },

    validateJwt({ token, audience }, signal) {
      const body = { ...account, token: token.reveal(), audience }
      return call({ endpoint: 'validate_jwt', body, secrets: [token.reveal()], signal }, parseValidation)
    },
  }
}

/** The parsed body. Throws `icp.bad_response` for an invalid one, without quoting it. */
function read<T>({ endpoint }: Exchange, response: HttpResponse, parse: (json: unknown) => T): T {
  let json: unknown
  try {
    json = JSON.parse(response.body.toString('utf8'))
  } catch {
    // The parser's message quotes the text, which may hold a key.
    throw badResponse(endpoint, response, 'it is not JSON (a proxy in between, or cut off)')
  }
  try {
    return parse(json)
  } catch (error) {
    if (error instanceof ZodError) throw badResponse(endpoint, response, problemOf(error))
    if (error instanceof AgentError && error.code === 'icp.too_large') throw error
    if (error instanceof AgentError) throw badResponse(endpoint, response, error.message, error)
    throw error
  }
}

/** The evidence as it is sent, and the secrets in it. */
function revealed({ evidence }: NodeEvidence): { values: Record<string, string | number>; secrets: string[] } {
  const secrets: string[] = []
  const values = Object.entries(evidence).map(([key, value]) => {
    if (!(value instanceof Secret)) return [key, value] as const
    secrets.push(value.reveal())
    return [key, value.reveal()] as const
  })
  return { values: Object.fromEntries(values), secrets }
}
