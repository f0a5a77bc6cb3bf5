/** Our setting for a key of another agent, or why there is none. */
type Foreign = { readonly key: string } | { readonly remedy: string }

const HEALTH_PATHS = 'liveness is at /healthz and readiness at /ready, always'

/**
 * By the last part of a key: keys of SPIRE's agent, and names that other agents give the server's address. In lower
 * case, without hyphens and underscores.
 */
const FOREIGN: Readonly<Record<string, Foreign>> = {
  adminsocketpath: { key: 'agent.admin_socket_path' },
  attestors: { key: 'attestation' },
  authorizeddelegates: { remedy: 'there is no delegated identity API' },
  availabilitytarget: { key: 'agent.renewal_threshold' },
  bindport: { key: 'health.port' },
  cluster: { key: 'attestation.kubernetes.cluster_name' },
  clustername: { key: 'attestation.kubernetes.cluster_name' },
  defaultallbundlesname: { key: 'sds.default_all_bundles_name' },
  defaultbundlename: { key: 'sds.default_bundle_name' },
  defaultsvidname: { key: 'sds.default_svid_name' },
  disablespiffecertvalidation: { key: 'sds.disable_spiffe_cert_validation' },
  healthchecks: { key: 'health' },
  icp: { key: 'icp_service' },
  insecurebootstrap: {
    remedy: 'the ICP server is always verified; give its authority with icp_service.trust_bundle_path',
  },
  jointokenfile: { key: 'agent.join_token_path' },
  k8s: { key: 'attestation.kubernetes' },
  listenerenabled: { key: 'health.enabled' },
  livepath: { remedy: HEALTH_PATHS },
  logfile: { key: 'logging.file_path' },
  logformat: { key: 'logging.format' },
  loglevel: { key: 'logging.level' },
  logsourcelocation: { remedy: 'a line names the part that wrote it, in `logger`' },
  nodeattestor: { key: 'attestation.type' },
  readypath: { remedy: HEALTH_PATHS },
  server: { remedy: 'give the server with icp_service.address' },
  serveraddress: { key: 'icp_service.address' },
  serverport: { remedy: 'write the port into icp_service.address, such as https://icp.example:8443/spiresvc' },
  serverurl: { key: 'icp_service.address' },
  syncinterval: { key: 'sync.interval' },
  telemetry: { remedy: 'metrics are served at /metrics while health.enabled is true' },
  tenant: { key: 'agent.tenant_id' },
  trustbundleformat: { remedy: 'a trust bundle is PEM' },
  trustbundleurl: {
    remedy: 'fetch the bundle yourself, check it, and give its file with icp_service.trust_bundle_path',
  },
  trustdomain: {
    remedy: 'give the account with agent.tenant_id; the trust domains of SVIDs come from the ICP server',
  },
  url: { key: 'icp_service.address' },
  workloadkeytype: { remedy: 'keys are RSA 2048, which the ICP server demands' },
  workloadx509svidkeytype: { remedy: 'keys are RSA 2048, which the ICP server demands' },
  workspaceid: { key: 'agent.tenant_id' },
}

/** The advice for a key (`agent.trust_domain`) that is not ours, in any section; null: none. */
export function foreignKey(key: string): Foreign | null {
  const last = key.slice(key.lastIndexOf('.') + 1).toLowerCase()
  const plain = last.replace(/[-_\s]/g, '')
  return Object.hasOwn(FOREIGN, plain) ? (FOREIGN[plain] ?? null) : null
}
