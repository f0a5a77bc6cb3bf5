import { readFileSync } from 'node:fs'
import type { Config } from '../config/config.js'
import { atMost } from '../lib/sleep.js'
import { telemetryEvents } from '../observability/telemetry-events.js'
import { createHttpClient } from '../platform/undici-http.js'
import type { HttpPeer } from '../ports/http.js'
import type { RequestTracing } from '../ports/tracing.js'
import { telemetrySettings } from '../telemetry/settings.js'
import { agentVersion } from './version.js'
import type { World } from './world.js'

const RECEIVER: HttpPeer = { name: 'the receiver of telemetry', addressSetting: null, trustSetting: null }
/** How long sending the last spans and metrics may take when the agent ends. */
const END_MS = 2_000

/** The world with the telemetry that OTEL_* configures; the same world if none is. */
export async function withTelemetry<W extends World>(
  config: Config,
  world: W,
  env: Readonly<Record<string, string | undefined>>,
): Promise<AsyncDisposable & { readonly world: W & { readonly tracing?: RequestTracing } }> {
  const settings = telemetrySettings(env)
  if (settings === null) return { world, async [Symbol.asyncDispose]() {} }
  const { clock, log } = world
  const events = telemetryEvents({ log: log.named('telemetry') }, clock)
  const ca = authorities(settings.certificatePath)
  events.misconfigured([...settings.problems, ...ca.problems])
  if (settings.traces === null && settings.metrics === null) return { world, async [Symbol.asyncDispose]() {} }
  const { openTelemetry } = await import('../telemetry/index.js')
  const { httpsProxy, noProxy } = config.icpService.proxy
  const proxy = { httpsProxy: httpsProxy?.reveal() ?? null, noProxy }
  const http = createHttpClient({
    tls: () => ({ ca: ca.pem }),
    proxy: () => proxy,
    peer: RECEIVER,
  })
  const { nodeId, tenantId } = config.agent
  const telemetry = openTelemetry({
    settings,
    http,
    clock,
    events,
    metrics: world.metrics,
    about: { version: agentVersion(), nodeId, tenantId },
    propagate: config.icpService.traceparent,
  })
  events.started(settings.traces && originOf(settings.traces.url), settings.metrics && originOf(settings.metrics.url))
  const { traces, metrics } = telemetry
  const exported = (signal: 'traces' | 'metrics') => {
    const target = settings[signal]
    return target && { to: originOf(target.url), trouble: events.trouble(signal) }
  }
  const figures = metrics === world.metrics ? world.metrics : { ...world.metrics, ...metrics }
  return {
    world: {
      ...world,
      metrics: figures,
      telemetry: () => ({ traces: exported('traces'), metrics: exported('metrics') }),
      ...(traces ? { observers: [...(world.observers ?? []), traces], tracing: traces } : {}),
    },
    async [Symbol.asyncDispose]() {
      await atMost(clock, END_MS, telemetry.end())
      await http[Symbol.asyncDispose]()
    },
  }
}

/** Without the path, which may contain a token. */
function originOf(url: string): string {
  return new URL(url).origin
}

function authorities(path: string | null): { readonly pem: readonly string[]; readonly problems: readonly string[] } {
  if (path === null) return { pem: [], problems: [] }
  try {
    return { pem: [readFileSync(path, 'utf8')], problems: [] }
  } catch {
    return { pem: [], problems: ['OTEL_EXPORTER_OTLP_CERTIFICATE: cannot be read; the system trusts alone'] }
  }
}
