import { findEndpoint } from '../../agent/client/address.js'
import { changes } from '../../agent/client/changes.js'
import type { DialectName } from '../../agent/client/dialect-name.js'
import { WorkloadApiClient } from '../../agent/client/workload-api-client.js'
import type { X509Context } from '../../agent/client/x509-context.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import type { WorkloadLine } from './workload-line.js'

/**
 * The demo's workload: a process that gets only the address of a socket. It watches its identities in both dialects and
 * writes what it holds, one JSON document per line. It ends with its standard input.
 */
async function live(signal: AbortSignal): Promise<void> {
  const address = findEndpoint(undefined, process.env)
  if (!address) throw new TypeError('SPIFFE_ENDPOINT_SOCKET is not set')
  say({ event: 'started', executable: process.execPath })
  await Promise.all((['spiffe', 'authsec'] as const).map((dialect) => watch(address, dialect, signal)))
}

async function watch(address: NonNullable<ReturnType<typeof findEndpoint>>, dialect: DialectName, signal: AbortSignal) {
  using client = WorkloadApiClient.connect({
    address,
    dialect,
    clock: new SystemClock(),
    onRetry: ({ error }) => say({ event: 'waiting', dialect, code: error.code, text: error.message }),
  })
  let before: X509Context | null = null
  // The client has verified every message: keys, names and chains to the bundle.
  for await (const context of client.watchX509Svids(signal)) {
    const changed = changes(before, context)
    before = context
    say({
      event: 'holds',
      dialect,
      changes: changed.map((change) =>
        change.kind === 'bundle'
          ? { kind: change.kind, about: change.trustDomain }
          : { kind: change.kind, about: change.svid.svid.spiffeId.uri },
      ),
      svids: context.svids.map(({ svid, bundle }) => ({
        spiffeId: svid.spiffeId.uri,
        serial: svid.serial,
        notBefore: svid.notBefore,
        notAfter: svid.notAfter,
        authorities: bundle.authorities.length,
      })),
    })
  }
}

function say(line: WorkloadLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort())
process.stdin.on('end', () => stop.abort()).resume()
await live(stop.signal)
process.stdin.pause()
