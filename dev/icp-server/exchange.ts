import * as z from 'zod'
import type { Clock } from '../../agent/ports/clock.js'
import { badRequest, notFound } from './api-error.js'
import type { CertificateAuthority } from './authority.js'
import type { PresentedIdentity } from './client-certificate.js'
import type { Fault, Faults } from './faults.js'
import type { JoinTokens } from './join-tokens.js'
import type { DevJwtSvids } from './jwt-svids.js'
import type { KnownIssuer } from './known-issuer.js'
import type { Limits } from './limits.js'
import type { Generation } from './options.js'
import type { Registry } from './registry.js'
import type { RequestLog } from './requests.js'

/** One request for a handler. */
export interface DevExchange {
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** Parsed JSON; undefined without a body. */
  readonly body: unknown
  /** The token of `Authorization: Bearer`, or empty. */
  readonly bearer: string
  /** The verified client, if the route checks it and there is one. */
  readonly client: PresentedIdentity | null
  /** The server's time for this request in milliseconds since 1970, a clock-offset fault included. */
  readonly now: number
  readonly faults: readonly Fault[]
}

export interface Reply {
  readonly status: number
  /** Sent as JSON, unless there is `raw`. */
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly raw?: { readonly contentType: string; readonly text: string }
}

/** The dependencies of handlers. */
export interface Services {
  readonly generation: Generation
  readonly accountId: string
  readonly workloadTrustDomain: string
  readonly adminToken: string
  readonly agentTtlSeconds: number
  readonly svidTtlSeconds: number
  readonly clock: Clock
  readonly authority: CertificateAuthority
  /** The issuer that client certificates are checked against, in the newer generation. */
  readonly knownIssuer: KnownIssuer
  readonly registry: Registry
  readonly joinTokens: JoinTokens
  readonly jwts: DevJwtSvids
  readonly limits: Limits
  readonly faults: Faults
  readonly requests: RequestLog
  /** Resolves when every change so far is on disk. */
  save(): Promise<void>
  /** For changes that may be lost with the process: they are on disk within a second. */
  saveSoon(): void
  /** Issues with a new CA from now on; it is on disk and named in handshakes. */
  rotateCa(): Promise<void>
}

export type RouteHandler = (exchange: DevExchange, services: Services) => Promise<Reply>

/** A string that may be missing or null, which the real server reads as empty. */
export const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '')
/** The same for numbers. */
export const number = z
  .number()
  .int()
  .nullish()
  .transform((value) => value ?? 0)

/** Both names of the account field; a request may have either or both. */
export const account = { tenant_id: text, workspace_id: text }

/** The body parsed by the schema; unknown keys are ignored. Refuses an invalid one with 400. */
export function parseBody<T extends z.ZodType>(schema: T, exchange: DevExchange): z.output<T> {
  const parsed = schema.safeParse(exchange.body)
  if (!parsed.success) throw badRequest('Invalid request body')
  return parsed.data
}

/** A request may omit the account or repeat the authenticated one; any other is not found. */
export function sameAccount(services: Services, named: { tenant_id: string; workspace_id: string }): void {
  const asserted = namedAccount(services, named)
  if (asserted !== '' && asserted !== services.accountId) throw notFound('Not found')
}

/** The account that a request names: the newer generation reads only `workspace_id`, the older one either. */
export function namedAccount(services: Services, named: { tenant_id: string; workspace_id: string }): string {
  return services.generation === 'workspace' ? named.workspace_id : named.tenant_id || named.workspace_id
}

/** The key under which answers name the account. */
export function accountKey(services: Services): 'tenant_id' | 'workspace_id' {
  return services.generation === 'tenant' ? 'tenant_id' : 'workspace_id'
}

export function ok(body: unknown): Reply {
  return { status: 200, body }
}

/** RFC 3339 with whole seconds, UTC. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
