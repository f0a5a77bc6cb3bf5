import { isIP } from 'node:net'
import { AgentError } from '../../agent/errors.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Files } from '../../agent/ports/files.js'
import type { RequestRecord } from './requests.js'

/** The simulated generation of the server: the older one names a tenant, the newer one a workspace. */
export type Generation = 'tenant' | 'workspace'

/** `faithful`: the rate limits of the real server. `off`: none. */
export type LimitsMode = 'faithful' | 'off'

/** Options of the embedded ICP server. It is for demos and tests, and by default listens on loopback only. */
export interface DevIcpOptions {
  readonly clock: Clock
  readonly files: Files
  /** Directory of the state (keys, entries, agents, tokens) and of ca.pem; created with mode 0700. */
  readonly dataDir: string
  /** `HOST:PORT`, HOST a loopback address or `localhost`; port 0 means any free one. Default `127.0.0.1:0`. */
  readonly listen?: string
  /**
   * A DNS name or IP address under which others reach it. Then `listen` may be any IP address, and the server's certificate
   * is also for this name.
   */
  readonly expose?: string
  /** Default `tenant`, in which nodes attest without a join token. */
  readonly generation?: Generation
  /** Account id, a UUID. Default: the one in the data directory, else a new one. */
  readonly tenantId?: string
  /** Bearer token of the administrator. Default: the one in the data directory, else a new one in DIR/admin-token. */
  readonly adminToken?: string
  /** Default `faithful`. */
  readonly limits?: LimitsMode
  /** Life of an agent's certificate in seconds; default 3600. */
  readonly agentTtlSeconds?: number
  /** Life of a workload's certificate in seconds if its entry has no TTL; default 3600. */
  readonly svidTtlSeconds?: number
  /** Trust domain in which workload certificates are issued. Default: the account id. */
  readonly workloadTrustDomain?: string
  /** Issue leaves with the BasicConstraints extension, as roles with `basic_constraints_valid_for_non_ca` do. Default false. */
  readonly basicConstraints?: boolean
  /**
   * How long the newer generation caches the default issuer that client certificates are checked against, in seconds;
   * default 300. 0: no cache.
   */
  readonly issuerCacheSeconds?: number
  /** Called for each request once it is answered. */
  readonly onRequest?: (record: RequestRecord) => void
  /** Put a `kid` into the header of JWT-SVIDs; the real server does not. Default false. */
  readonly jwtKid?: boolean
}

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/**
 * Parses `HOST:PORT` (IPv6 in brackets). `localhost` means 127.0.0.1, without a resolver, which could return any address.
 * Throws `config.invalid` for anything but loopback, or, if `exposed`, for anything but an IP address.
 */
export function parseListen(text: string, exposed = false): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  const name = match?.[1] ?? match?.[2]
  if (name === undefined || port > 65_535) {
    throw new AgentError('config.invalid', 'the address to listen on must be HOST:PORT, for example 127.0.0.1:0')
  }
  const host = name === 'localhost' ? '127.0.0.1' : name
  if (exposed && isIP(host) !== 0) return { host, port }
  if (!isLoopback(host)) {
    throw new AgentError(
      'config.invalid',
      'the embedded ICP server is for demos and tests and listens on loopback only: use 127.0.0.1 or [::1] (an IP address with --expose)',
    )
  }
  return { host, port }
}

function isLoopback(host: string): boolean {
  return (isIP(host) === 4 && host.startsWith('127.')) || host === '::1'
}

const DNS_NAME = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/

/** Throws `config.invalid` for anything but a DNS name in lower case or an IP address. */
export function parseExposed(name: string): string {
  if (isIP(name) !== 0 || DNS_NAME.test(name)) return name
  throw new AgentError('config.invalid', 'the name to expose must be a DNS name in lower case or an IP address')
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The account id in lower case. Throws `config.invalid` when it is not a UUID. */
export function parseAccountId(text: string): string {
  const id = text.toLowerCase()
  if (!UUID.test(id)) throw new AgentError('config.invalid', 'the tenant id must be a UUID')
  return id
}

/** Throws `config.invalid` unless the life is a whole number of seconds, at least 1. */
export function parseLifetime(what: string, seconds: number): number {
  if (!Number.isInteger(seconds) || seconds < 1) {
    throw new AgentError('config.invalid', `${what} must be a whole number of seconds, at least 1`)
  }
  return seconds
}

/** Throws `config.invalid` unless it is a number of seconds that is not negative. */
export function parseIssuerCache(seconds: number): number {
  if (!(seconds >= 0)) throw new AgentError('config.invalid', 'the time that the issuer is kept must not be negative')
  return seconds
}

/** Throws `config.invalid` for an invalid trust domain. */
export function parseTrustDomain(text: string): string {
  const id = SpiffeId.tryParse(`spiffe://${text}`)
  if (typeof id === 'string' || id.path !== '') {
    throw new AgentError('config.invalid', 'the workload trust domain may hold only a-z, 0-9, dot, dash and underscore')
  }
  return id.trustDomain
}
