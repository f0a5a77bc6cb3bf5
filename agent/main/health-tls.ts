import { createSecureContext } from 'node:tls'
import { tlsIdentity } from '../agent-svid/agent-svid.js'
import { AgentError } from '../errors.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { TlsSource } from '../observability/http-server.js'
import type { Recurring } from '../observability/once.js'
import { httpsServer } from '../platform/https-server.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import type { Agent } from './compose.js'

const MAX_BYTES = 65_536
const LOOK_MS = 10_000

/** The certificate of the health port, kept up to date; null: plain HTTP. Until there is one, handshakes fail. */
export function healthTls(agent: Agent, world: { clock: Clock; files: Pick<Files, 'read'> }): TlsSource | null {
  const { tls, tlsCertPath, tlsKeyPath } = agent.config.health
  if (tls === 'off') return null
  if (tls === 'svid') return ownSvid(agent)
  if (tlsCertPath === null || tlsKeyPath === null) {
    // Checked with the configuration (agent/config/checks.ts).
    throw new AgentError('internal', 'health.tls is files without the paths of certificate and key')
  }
  const recurring = agent.rereadFiles.file(tlsCertPath, 'health.tls_cert_path')
  return {
    make: httpsServer,
    follow: (use) => followFiles({ ...world, paths: [tlsCertPath, tlsKeyPath], recurring, use }),
  }
}

function ownSvid({ keeper }: Agent): TlsSource {
  return {
    make: httpsServer,
    follow(use) {
      const look = () => {
        const svid = keeper.current()
        if (svid) use(tlsIdentity(svid))
      }
      look()
      return keeper.subscribe(look)
    },
  }
}

interface Followed {
  readonly clock: Clock
  readonly files: Pick<Files, 'read'>
  readonly paths: readonly [string, string]
  readonly recurring: Recurring
  readonly use: Parameters<TlsSource['follow']>[0]
}

/** Only a certificate that fits its key replaces the one in use, because one file may be written before the other. */
function followFiles({ clock, files, paths, recurring, use }: Followed): Disposable {
  const stop = new AbortController()
  let inUse = ''
  const look = async () => {
    const [certificate = '', key = ''] = await Promise.all(paths.map((path) => pem(files, path)))
    if (certificate + key === inUse) return
    try {
      createSecureContext({ cert: certificate, key })
    } catch (error) {
      throw new AgentError('file.broken', `${paths[0]} and ${paths[1]} are not a certificate and its key`, {
        cause: error,
        details: { path: paths[0] },
      })
    }
    use({ certificate, key })
    inUse = certificate + key
  }
  const run = async () => {
    while (!stop.signal.aborted) {
      await look().then(recurring.succeeded, recurring.failed)
      await sleepUnlessAborted(clock, LOOK_MS, stop.signal)
    }
  }
  void run()
  return { [Symbol.dispose]: () => stop.abort() }
}

async function pem(files: Pick<Files, 'read'>, path: string): Promise<string> {
  const content = await files.read(path, { maxBytes: MAX_BYTES })
  if (content === null) throw new AgentError('file.broken', `${path} is missing`, { details: { path } })
  return content.toString('utf8')
}
