/** The two PKI roles of the real server. */
export type RoleName = 'agent' | 'workload'

export interface Role {
  readonly name: RoleName
  /** The prefix of allowed URI SANs. */
  readonly uriPrefix: string
  /** Names below this domain are allowed as CN or DNS SAN; null: none. */
  readonly subdomainsOf: string | null
  readonly allowIpAddresses: boolean
  readonly maxTtlSeconds: number
  /** `basic_constraints_valid_for_non_ca`, which is off by default: then leaves lack the extension. */
  readonly basicConstraints: boolean
}

/** The content of a CSR with a verified signature. */
export interface CsrContent {
  readonly keyType: 'rsa' | 'other'
  readonly keyBits: number
  /** Empty if the CSR has none. */
  readonly commonName: string
  readonly dnsNames: readonly string[]
  readonly emails: readonly string[]
  readonly ipAddresses: readonly string[]
  readonly uris: readonly string[]
}

/** The granted content of the certificate. */
export interface Granted {
  readonly commonName: string
  readonly dnsNames: readonly string[]
  readonly emails: readonly string[]
  readonly ipAddresses: readonly string[]
  readonly uris: readonly string[]
}

const MIN_RSA_BITS = 2048

export interface RoleOptions {
  readonly accountId: string
  readonly workloadTrustDomain: string
  readonly agentTtlSeconds: number
  readonly basicConstraints: boolean
}

export function roles(options: RoleOptions): Record<RoleName, Role> {
  const { accountId, workloadTrustDomain, agentTtlSeconds, basicConstraints } = options
  return {
    agent: {
      name: 'agent',
      uriPrefix: `spiffe://${accountId}/`,
      subdomainsOf: null,
      allowIpAddresses: false,
      maxTtlSeconds: Math.max(7200, agentTtlSeconds),
      basicConstraints,
    },
    workload: {
      name: 'workload',
      uriPrefix: `spiffe://${workloadTrustDomain}/`,
      subdomainsOf: workloadTrustDomain,
      allowIpAddresses: true,
      maxTtlSeconds: 86_400,
      basicConstraints,
    },
  }
}

/**
 * Applies a role to a CSR as a Vault PKI role with `key_type=rsa, require_cn=false, allow_any_name=false,
 * allow_localhost=true, use_csr_common_name=true, use_csr_sans=true` does. Returns the granted content, or the reason of
 * the refusal. `fallbackName` is the name that the server itself requests, which is used if the CSR has no CN.
 */
export function grant(role: Role, csr: CsrContent, fallbackName: string): Granted | string {
  if (csr.keyType !== 'rsa') return 'role requires keys of type rsa'
  if (csr.keyBits < MIN_RSA_BITS) return `role requires a minimum of a ${MIN_RSA_BITS}-bit key`
  const commonName = csr.commonName === '' ? fallbackName : csr.commonName
  if (commonName !== '' && !allowsName(role, commonName)) return 'common name not allowed by this role'
  const bad = [...csr.dnsNames, ...csr.emails].find((name) => !allowsName(role, name))
  if (bad !== undefined) return 'subject alternate name not allowed by this role'
  if (csr.ipAddresses.length > 0 && !role.allowIpAddresses) {
    return 'IP Subject Alternative Names are not allowed in this role'
  }
  if (csr.uris.some((uri) => !uri.startsWith(role.uriPrefix))) {
    return 'URI Subject Alternative Names were provided via CSR which are not valid for this role'
  }
  // The CN is added to the alternative names: with an @ as e-mail, else as DNS name.
  const email = commonName.includes('@')
  return {
    commonName,
    dnsNames: unique(commonName === '' || email ? csr.dnsNames : [...csr.dnsNames, commonName]),
    emails: unique(email ? [...csr.emails, commonName] : csr.emails),
    ipAddresses: csr.ipAddresses,
    uris: csr.uris,
  }
}

/** Localhost in its spellings, an e-mail address at it, and for some roles names below the domain. */
function allowsName(role: Role, name: string): boolean {
  const parts = name.split('@')
  const host = parts.length === 2 ? parts[1] : name
  if (parts.length > 2 || host === undefined) return false
  if (host === 'localhost' || host === 'localdomain') return true
  return role.subdomainsOf !== null && host.endsWith(`.${role.subdomainsOf}`)
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)]
}
