import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import { FLAWS } from './flaws.js'

const MIB = 1024 * 1024

const scope = {
  /** The affected endpoint: a route's pattern or a path, `*` for every one that an agent uses. */
  endpoint: z.string().default('*'),
  /** The number of affected requests; missing: until it is cleared. */
  times: z.number().int().positive().optional(),
  /** Affect only requests with (true) or without (false) a client certificate. */
  with_certificate: z.boolean().optional(),
}

const fault = z.discriminatedUnion('kind', [
  // Faults of a network or a proxy.
  z.strictObject({ kind: z.literal('latency'), ms: z.number().nonnegative(), ...scope }),
  z.strictObject({ kind: z.literal('drop'), when: z.enum(['before', 'after']).default('before'), ...scope }),
  z.strictObject({ kind: z.literal('status'), status: z.number().int().min(400).max(599).default(500), ...scope }),
  z.strictObject({ kind: z.literal('rate-limit'), retry_after: z.number().int().nullable().default(60), ...scope }),
  z.strictObject({ kind: z.literal('html'), status: z.number().int().min(200).max(599).default(200), ...scope }),
  z.strictObject({ kind: z.literal('truncate'), bytes: z.number().int().nonnegative().optional(), ...scope }),
  z.strictObject({ kind: z.literal('slow-body'), interval_ms: z.number().positive().default(1000), ...scope }),
  z.strictObject({
    kind: z.literal('huge-body'),
    bytes: z
      .number()
      .int()
      .positive()
      .default(100 * MIB),
    ...scope,
  }),
  z.strictObject({ kind: z.literal('tls-ends-before'), ...scope }),
  z.strictObject({ kind: z.literal('clock-offset'), seconds: z.number(), ...scope }),
  // Faults of the answer itself.
  z.strictObject({ kind: z.literal('certificate'), flaw: z.enum(FLAWS), ...scope }),
  z.strictObject({ kind: z.literal('server-key'), format: z.enum(['pkcs1', 'pkcs8']).default('pkcs8'), ...scope }),
  z.strictObject({ kind: z.literal('csr-dropped'), ...scope }),
  z.strictObject({ kind: z.literal('ca-away'), ...scope }),
  z.strictObject({ kind: z.literal('ca-errors-wrapped'), reason: z.boolean().default(true), ...scope }),
  z.strictObject({ kind: z.literal('bundle-served'), ...scope }),
  z.strictObject({ kind: z.literal('entries-null'), ...scope }),
  z.strictObject({ kind: z.literal('duplicate-ids'), ...scope }),
  z.strictObject({ kind: z.literal('malformed-entry'), entry: z.unknown().optional(), ...scope }),
])

/** A requested fault: `{kind, endpoint?, times?, …}`. */
export type FaultRequest = z.input<typeof fault>
export type Fault = z.output<typeof fault>
export type FaultKind = Fault['kind']
export type SetFault = Fault & { readonly id: string }

const ISSUING = ['/v1/node/attest', '/v1/agent/renew', '/v1/workload/attest']
const ENTRIES = ['/v1/entries/by-parent']

/** The endpoints that a kind can affect; a kind that is not listed can affect any. */
const MEANINGFUL: Partial<Record<FaultKind, readonly string[]>> = {
  certificate: ISSUING,
  'server-key': ISSUING,
  'ca-away': [...ISSUING, '/v1/workload/revoke', '/bundle/:id'],
  'ca-errors-wrapped': ISSUING,
  'csr-dropped': ['/v1/workload/attest'],
  'bundle-served': ['/bundle/:id'],
  'entries-null': ENTRIES,
  'duplicate-ids': ENTRIES,
  'malformed-entry': ENTRIES,
}

/** The properties of a request that select faults. */
export interface Target {
  /** The route's pattern, such as `/bundle/:id`; null: no route. */
  readonly pattern: string | null
  readonly path: string
  /** Administration is affected only by its own name, so that a fault can be cleared again. */
  readonly administration: boolean
  readonly withCertificate: boolean
}

/** The requested faults. All that match a request affect it. */
export class Faults {
  #set: { readonly fault: SetFault; left: number }[] = []

  /** Throws a ZodError for an invalid fault. */
  add(request: unknown): SetFault {
    const parsed = { ...fault.parse(request), id: randomUUID() }
    this.#set.push({ fault: parsed, left: parsed.times ?? Number.POSITIVE_INFINITY })
    return parsed
  }

  /** `times` is the remaining number. */
  list(): SetFault[] {
    return this.#set.map(({ fault, left }) => (Number.isFinite(left) ? { ...fault, times: left } : fault))
  }

  /** Clears one, or all. */
  clear(id?: string): void {
    this.#set = id === undefined ? [] : this.#set.filter(({ fault }) => fault.id !== id)
  }

  /** The faults of this request; counts them down. */
  strike(target: Target): Fault[] {
    const struck = this.#set.filter(({ fault }) => fits(fault, target))
    for (const each of struck) each.left--
    this.#set = this.#set.filter(({ left }) => left > 0)
    return struck.map(({ fault }) => fault)
  }
}

/** The first of these faults of a kind. */
export function findFault<K extends FaultKind>(faults: readonly Fault[], kind: K): Extract<Fault, { kind: K }> | null {
  const isKind = (candidate: Fault): candidate is Extract<Fault, { kind: K }> => candidate.kind === kind
  return faults.find(isKind) ?? null
}

function fits(fault: Fault, target: Target): boolean {
  const meaningful = MEANINGFUL[fault.kind]
  if (meaningful && (target.pattern === null || !meaningful.includes(target.pattern))) return false
  if (fault.with_certificate !== undefined && fault.with_certificate !== target.withCertificate) return false
  if (fault.endpoint === '*') return !target.administration
  return fault.endpoint === target.pattern || fault.endpoint === target.path
}
