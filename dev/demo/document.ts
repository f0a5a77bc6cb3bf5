import type { Held, Story } from './story.js'

/** The story as one JSON document: what `--json` prints. Times are ISO-8601 UTC. */
export function documentOf({ server, node, agent, workload, selectors, held, entries }: Story) {
  const [first] = held.get('spiffe') ?? []
  return {
    spiffeId: first?.spiffeId ?? null,
    serial: first?.serial ?? null,
    notAfter: first ? iso(first.notAfter) : null,
    selectors: selectors ?? {},
    workload: workload && { pid: workload.pid, uid: workload.uid, executable: workload.executable },
    dialects: Object.fromEntries(
      [...held].map(([dialect, svids]) => [dialect, { verified: true, svids: svids.map(svidOf) }]),
    ),
    entries: [...entries.values()].map(({ spiffeId, selectors: wanted }) => ({ spiffeId, selectors: wanted })),
    agent: { spiffeId: node?.spiffeId ?? null, socket: agent?.socket ?? null },
    server: { address: server?.address ?? null, generation: server?.generation ?? null },
  }
}

function svidOf({ spiffeId, serial, notBefore, notAfter }: Held) {
  return { spiffeId, serial, notBefore: iso(notBefore), notAfter: iso(notAfter) }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
