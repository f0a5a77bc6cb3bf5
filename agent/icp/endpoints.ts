import type { Tier } from '../errors.js'

export interface EndpointSpec {
  readonly method: 'GET' | 'POST'
  /** Below `icp_service.address`; `{account}` is replaced by the tenant or workspace id. */
  readonly path: string
  readonly tier: Tier
  /** True if workspace servers require the client certificate, from which they take the account. */
  readonly identity: boolean
  /** The operation, as the subject of an error message. */
  readonly name: string
  /** Advice by status, if it differs from that for all endpoints. */
  readonly advice?: Readonly<Record<number, string>>
}

const ATTEST_AGAIN = 'the agent attests the node again'
const CERTIFICATE_REFUSED = 'its certificate is not accepted; if that lasts, the agent attests the node again'

/** Every endpoint that the agent calls: one row each. */
export const ENDPOINTS = {
  attest_node: {
    method: 'POST',
    path: '/v1/node/attest',
    tier: 'bootstrap',
    identity: false,
    name: 'node attestation',
    advice: {
      400: 'check agent.tenant_id, agent.node_id and attestation.type',
      401: 'check the evidence; a server that wants join tokens needs a fresh one (agent.join_token_path), because each is valid for one attempt',
      403: 'an administrator has banned this node, or the evidence is not accepted',
    },
  },
  renew_agent: {
    method: 'POST',
    path: '/v1/agent/renew',
    tier: 'standard',
    identity: true,
    name: 'renewal of the agent SVID',
    advice: { 401: CERTIFICATE_REFUSED, 403: ATTEST_AGAIN, 404: ATTEST_AGAIN },
  },
  entries: {
    method: 'GET',
    path: '/v1/entries/by-parent',
    tier: 'standard',
    identity: true,
    name: 'sync of registration entries',
  },
  sign_workload: {
    method: 'POST',
    path: '/v1/workload/attest',
    tier: 'standard',
    identity: true,
    name: 'issuance of a workload SVID',
  },
  revoke_workload: {
    method: 'POST',
    path: '/v1/workload/revoke',
    tier: 'standard',
    identity: true,
    name: 'revocation of a workload SVID',
  },
  issue_jwt: {
    method: 'POST',
    path: '/v1/jwt/issue',
    tier: 'service',
    identity: true,
    name: 'issuance of a JWT-SVID',
  },
  validate_jwt: {
    method: 'POST',
    path: '/v1/jwt/validate',
    tier: 'sensitive',
    identity: false,
    name: 'validation of a JWT-SVID',
  },
  jwt_bundle: {
    method: 'GET',
    path: '/v1/jwt/bundle',
    tier: 'service',
    identity: false,
    name: 'fetch of the JWT bundle',
  },
  bundle: {
    method: 'GET',
    path: '/bundle/{account}',
    tier: 'service',
    identity: false,
    name: 'fetch of the X.509 bundle',
  },
} as const satisfies Record<string, EndpointSpec>

export type ServerEndpoint = keyof typeof ENDPOINTS

export function specOf(endpoint: ServerEndpoint): EndpointSpec {
  return ENDPOINTS[endpoint]
}

/** The tier of the agent's own renewal, which servers of the tenant API count with attestations. */
export function renewalTier(workspace: boolean): 'standard' | 'bootstrap' {
  return workspace ? 'standard' : 'bootstrap'
}

/** The tier that a request is charged to. `workspace`: the server is of the workspace API. */
export function tierOf(endpoint: ServerEndpoint, workspace: boolean): Tier {
  return endpoint === 'renew_agent' ? renewalTier(workspace) : specOf(endpoint).tier
}
