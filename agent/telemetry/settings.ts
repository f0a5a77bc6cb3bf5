import { Secret } from '../crypto/secret.js'

type OtelVariables = Readonly<Record<string, string | undefined>>

/** One signal's exporter. */
export interface ExporterSettings {
  readonly url: string
  readonly encoding: 'protobuf' | 'json'
  /** Values may be tokens. */
  readonly headers: ReadonlyMap<string, Secret>
  readonly timeoutMs: number
}

/** The settings from OpenTelemetry's variables. */
export interface TelemetrySettings {
  readonly traces: (ExporterSettings & Sampling) | null
  readonly metrics: (ExporterSettings & { readonly intervalMs: number }) | null
  /** A PEM file of authorities to trust besides the system's. */
  readonly certificatePath: string | null
  readonly serviceName: string
  readonly attributes: Readonly<Record<string, string>>
  /** Unusable settings, one line each, without values. */
  readonly problems: readonly string[]
}

interface Sampling {
  readonly sampler: 'always_on' | 'always_off' | 'traceidratio'
  readonly ratio: number
  /** Limit of spans that wait to be sent; more are dropped. */
  readonly maxQueue: number
  readonly delayMs: number
}

const MAX_ATTRIBUTES = 64
const MAX_TEXT = 1024

/**
 * The settings from OpenTelemetry's environment variables; null: nothing is exported unless OTEL_TRACES_EXPORTER or
 * OTEL_METRICS_EXPORTER is `otlp`. In the standard `otlp` is the default, but an endpoint in the environment of every
 * program must not by itself receive which processes get which identities.
 */
export function telemetrySettings(env: OtelVariables): TelemetrySettings | null {
  const problems: string[] = []
  const of = (name: string) => env[name]?.trim() || null
  if (of('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return null
  const on = (signal: 'TRACES' | 'METRICS') => {
    const asked = of(`OTEL_${signal}_EXPORTER`)?.toLowerCase() ?? 'none'
    if (asked !== 'otlp' && asked !== 'none') problems.push(`OTEL_${signal}_EXPORTER: only otlp and none are known`)
    if (asked !== 'otlp') return null
    return exporter(of, signal, problems)
  }
  const traces = on('TRACES')
  const metrics = on('METRICS')
  if (traces === null && metrics === null && problems.length === 0) return null
  const attributes = pairs(of('OTEL_RESOURCE_ATTRIBUTES'), 'OTEL_RESOURCE_ATTRIBUTES', problems)
  return {
    traces: traces && { ...traces, ...sampling(of, problems) },
    metrics: metrics && {
      ...metrics,
      intervalMs: number(of, 'OTEL_METRIC_EXPORT_INTERVAL', 60_000, 1_000, 86_400_000, problems),
    },
    certificatePath: of('OTEL_EXPORTER_OTLP_CERTIFICATE'),
    serviceName: (of('OTEL_SERVICE_NAME') ?? attributes.get('service.name') ?? 'icp-agent').slice(0, MAX_TEXT),
    attributes: Object.fromEntries([...attributes].slice(0, MAX_ATTRIBUTES)),
    problems,
  }
}

type Variables = (name: string) => string | null

function exporter(of: Variables, signal: 'TRACES' | 'METRICS', problems: string[]): ExporterSettings | null {
  const either = (what: string) => {
    const own = `OTEL_EXPORTER_OTLP_${signal}_${what}`
    return of(own) !== null ? own : `OTEL_EXPORTER_OTLP_${what}`
  }
  const protocol = either('PROTOCOL')
  if (![null, 'http/json', 'http/protobuf'].includes(of(protocol))) {
    problems.push(`${protocol}: only http/protobuf and http/json are spoken`)
    return null
  }
  const own = of(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`)
  const base = of('OTEL_EXPORTER_OTLP_ENDPOINT') ?? 'http://localhost:4318'
  const url = urlOf(own ?? `${base.replace(/\/+$/, '')}/v1/${signal.toLowerCase()}`)
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    problems.push(
      `${either('ENDPOINT')}: is not an http or https URL without a user; put credentials into OTEL_EXPORTER_OTLP_HEADERS`,
    )
    return null
  }
  const headers = pairs(of(either('HEADERS')), either('HEADERS'), problems)
  return {
    encoding: of(protocol) === 'http/json' ? 'json' : 'protobuf',
    url: url.href,
    headers: new Map([...headers].map(([name, value]) => [name.toLowerCase(), new Secret(value)])),
    timeoutMs: number(of, either('TIMEOUT'), 10_000, 1, 600_000, problems),
  }
}

function urlOf(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null
}

function sampling(of: Variables, problems: string[]): Sampling {
  const named = (of('OTEL_TRACES_SAMPLER') ?? 'always_on').toLowerCase().replace(/^parentbased_/, '')
  const sampler = named === 'always_off' || named === 'traceidratio' ? named : 'always_on'
  if (sampler !== named)
    problems.push('OTEL_TRACES_SAMPLER: only always_on, always_off, traceidratio and their parentbased forms are known')
  const ratio = Number(of('OTEL_TRACES_SAMPLER_ARG') ?? 1)
  const right = ratio >= 0 && ratio <= 1
  if (!right) problems.push('OTEL_TRACES_SAMPLER_ARG: is not a number from 0 to 1')
  return {
    sampler,
    ratio: right ? ratio : 1,
    maxQueue: number(of, 'OTEL_BSP_MAX_QUEUE_SIZE', 2_048, 512, 65_536, problems),
    delayMs: number(of, 'OTEL_BSP_SCHEDULE_DELAY', 5_000, 100, 600_000, problems),
  }
}

function number(of: Variables, name: string, byDefault: number, min: number, max: number, problems: string[]): number {
  const text = of(name)
  if (text === null) return byDefault
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  problems.push(`${name}: is not a whole number from ${min} to ${max}; using ${byDefault}`)
  return byDefault
}

/** `key=value,key=value`, percent-encoded, as in W3C baggage. A value is never part of a message. */
function pairs(text: string | null, name: string, problems: string[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const item of text?.split(',') ?? []) {
    const [, key, value] = /^\s*([^=\s]{1,256})\s*=\s*(.*?)\s*$/.exec(item) ?? []
    const decoded = value === undefined ? null : decode(value)
    if (key === undefined || decoded === null || decoded.length > 8_192 || /[\r\n\0]/.test(decoded)) {
      if (item.trim() !== '') problems.push(`${name}: is not a list of key=value`)
    } else found.set(key, decoded)
  }
  return found
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    // A percent sign without a valid escape.
    return null
  }
}
