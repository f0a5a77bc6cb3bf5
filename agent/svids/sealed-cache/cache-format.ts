import { createPrivateKey } from 'node:crypto'
import * as z from 'zod'
import { Secret } from '../../crypto/secret.js'
import { AgentError } from '../../errors.js'
import { parseAuthority } from '../../identity/authority.js'
import type { Entry } from '../../identity/entry.js'
import { SpiffeId } from '../../identity/spiffe-id.js'
import type { Authority } from '../../identity/trust-bundle.js'
import { verifyX509Svid } from '../../identity/verify-svid.js'
import type { X509Svid } from '../../identity/x509-svid.js'
import type { AuthorityHistoryState } from '../authority-history.js'
import type { RenewableSvid } from '../entry-state.js'

const base64 = z.string().transform((text) => new Uint8Array(Buffer.from(text, 'base64')))
const der = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

const ENTRY = z.object({
  id: z.string(),
  spiffeId: z.string(),
  assigned: z.boolean(),
  selectors: z.record(z.string(), z.string()),
  ttlSeconds: z.number().nullable(),
  createdAt: z.number(),
})
const ENTRIES = z.object({ version: z.literal(1), entries: z.array(ENTRY) })

export function formatEntries(entries: Iterable<Entry>): string {
  const plain = [...entries].map((entry) => ({
    ...entry,
    spiffeId: entry.spiffeId.uri,
    selectors: Object.fromEntries(entry.selectors),
  }))
  return JSON.stringify({ version: 1, entries: plain })
}

export function parseEntries(text: string): readonly Entry[] {
  return ENTRIES.parse(JSON.parse(text)).entries.map((entry) => ({
    ...entry,
    spiffeId: SpiffeId.parse(entry.spiffeId),
    selectors: new Map(Object.entries(entry.selectors)),
  }))
}

const MANIFEST = z.object({
  version: z.literal(1),
  /** Wall clock at the time of writing: if the clock is earlier at the start, it is wrong. */
  lastSeen: z.number(),
  lines: z.array(z.object({ authority: base64, firstSeen: z.number(), lastActive: z.number() })),
  domains: z.record(z.string(), z.number()),
  longestLifeMs: z.number(),
  jwtKeys: z.array(z.record(z.string(), z.unknown())),
  lastUses: z.record(z.string(), z.number()),
  /** Caches of the first version have none. */
  commonName: z.string().nullish(),
})

/** Everything but entries and SVIDs. */
export interface Manifest {
  readonly lastSeen: number
  readonly history: AuthorityHistoryState
  readonly jwtKeys: readonly Readonly<Record<string, unknown>>[]
  readonly lastUses: ReadonlyMap<string, number>
  /** The common name in the SVIDs of workloads; null before the first. */
  readonly commonName: string | null
}

export function formatManifest({ lastSeen, history, jwtKeys, lastUses, commonName }: Manifest): string {
  return JSON.stringify({
    version: 1,
    lastSeen,
    lines: history.records.map((record) => ({ ...record, authority: der(record.authority.der) })),
    domains: Object.fromEntries(history.domains),
    longestLifeMs: history.longestLifeMs,
    jwtKeys,
    lastUses: Object.fromEntries(lastUses),
    commonName,
  })
}

export function parseManifest(text: string): Manifest {
  const plain = MANIFEST.parse(JSON.parse(text))
  return {
    lastSeen: plain.lastSeen,
    history: {
      records: plain.lines.map((record) => ({ ...record, authority: parseAuthority(record.authority) })),
      domains: new Map(Object.entries(plain.domains)),
      longestLifeMs: plain.longestLifeMs,
    },
    jwtKeys: plain.jwtKeys,
    lastUses: new Map(Object.entries(plain.lastUses)),
    commonName: plain.commonName ?? null,
  }
}

const HELD = z.object({ chain: z.array(base64), key: base64, renewAt: z.number() })
const SVID = z.object({
  version: z.literal(1),
  entryId: z.string(),
  spiffeId: z.string(),
  held: HELD,
  next: z.object({ held: HELD, from: z.number() }).nullable(),
})

/** The SVID of one entry, with the one that is held back, if any. */
export interface StoredSvid {
  readonly entryId: string
  readonly held: RenewableSvid
  readonly next?: { readonly held: RenewableSvid; readonly from: number }
}

export function formatSvid({ entryId, held, next }: StoredSvid): string {
  const plain = ({ svid, renewAt }: RenewableSvid) => ({
    chain: svid.chain.map(der),
    // This text is only written sealed.
    key: der(svid.privateKey.reveal()),
    renewAt,
  })
  return JSON.stringify({
    version: 1,
    entryId,
    spiffeId: held.svid.spiffeId.uri,
    held: plain(held),
    next: next ? { held: plain(next.held), from: next.from } : null,
  })
}

/**
 * Parses an SVID and verifies it as if it had just been received: with the trusted authorities, at this time, for the
 * entry's present SPIFFE ID. Throws `svid.*` and `spiffe_id.invalid`.
 */
export function parseSvid(
  text: string,
  expected: SpiffeId,
  authorities: readonly Authority[],
  now: number,
): StoredSvid {
  const { entryId, spiffeId, held, next } = SVID.parse(JSON.parse(text))
  const restored = ({ chain, key, renewAt }: z.infer<typeof HELD>): RenewableSvid => ({
    svid: verified(chain, key, { expected, named: spiffeId, authorities, now }),
    renewAt,
  })
  const served = attempt(() => restored(held))
  const successor = next ? attempt(() => restored(next.held)) : null
  // If one has expired or its issuer was removed, the other one is still used.
  const later = next && successor && !(successor instanceof AgentError) ? { held: successor, from: next.from } : null
  if (!(served instanceof AgentError)) return { entryId, held: served, ...(later ? { next: later } : {}) }
  if (!later) throw served
  return { entryId, held: later.held }
}

/** The result, or why the certificate is not valid. */
function attempt<T>(work: () => T): T | AgentError {
  try {
    return work()
  } catch (error) {
    if (error instanceof AgentError && error.code.startsWith('svid.')) return error
    throw error
  }
}

function verified(
  chain: readonly Uint8Array[],
  pkcs8: Uint8Array,
  rest: { expected: SpiffeId; named: string; authorities: readonly Authority[]; now: number },
): X509Svid {
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' })
  const svid = verifyX509Svid({ chain, key, ...rest })
  return { ...svid, privateKey: new Secret(pkcs8) }
}
