import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.js'
import { built } from './kube-binaries.js'
import { until } from './until.js'

const [VERSION, STABLE] = ['0.165.0', '1.71.0']
const MODULES = {
  component: STABLE,
  confmap: STABLE,
  'confmap/provider/fileprovider': STABLE,
  exporter: STABLE,
  'exporter/debugexporter': VERSION,
  otelcol: VERSION,
  receiver: STABLE,
  'receiver/otlpreceiver': VERSION,
  service: VERSION,
}
const folder = join(tmpdir(), `icp-agent-otel-collector-${VERSION}`)

/** Why it cannot be built here, or null. */
export function collectorUnavailable(): string | null {
  const { stdout } = spawnSync('go', ['version'], { encoding: 'utf8' })
  return stdout && /go1\.(?:2[6-9]|[3-9]\d)/.test(stdout) ? null : 'building the collector wants Go 1.26 or newer'
}

/** A span as the collector understood it. Ids in hexadecimal; `parent` is empty where it has none. */
export interface CollectedSpan {
  readonly trace: string
  readonly id: string
  readonly parent: string
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
}

/** A metric as the collector understood it. */
export interface CollectedMetric {
  readonly name: string
  /** `Sum`, `Gauge`, `Histogram`. */
  readonly type: string
  readonly cumulative: boolean
}

/** The official OpenTelemetry Collector with an OTLP receiver, built from Go's modules once: two minutes on two cores. */
export class OtelCollector implements AsyncDisposable {
  #out = ''

  private constructor(
    private readonly process: ChildProcess,
    private readonly port: number,
  ) {
    process.stdout?.on('data', (chunk) => {
      this.#out += chunk
    })
  }

  static async start(dir: string): Promise<OtelCollector> {
    const program = join(folder, 'collector')
    mkdirSync(join(folder, 'module'), { recursive: true })
    copyFileSync(join(import.meta.dirname, '../integration/programs/collector.go'), join(folder, 'module/main.go'))
    const modules = Object.entries(MODULES).map(
      ([name, version]) => `\tgo.opentelemetry.io/collector/${name} v${version}`,
    )
    await built(program, '.', '', ['module collector', 'go 1.26.0', 'require (', ...modules, ')\n'].join('\n'))
    const port = await freePort()
    const config = {
      receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
      exporters: { debug: { verbosity: 'detailed', use_internal_logger: false } },
      service: {
        telemetry: { metrics: { level: 'none' }, logs: { level: 'warn' } },
        pipelines: {
          traces: { receivers: ['otlp'], exporters: ['debug'] },
          metrics: { receivers: ['otlp'], exporters: ['debug'] },
        },
      },
    }
    // JSON is YAML.
    writeFileSync(join(dir, 'collector.yaml'), JSON.stringify(config))
    const process = spawn(program, ['--config', join(dir, 'collector.yaml')], { stdio: ['ignore', 'pipe', 'inherit'] })
    const collector = new OtelCollector(process, port)
    await until(() => accepts(port), { what: 'the collector listens' })
    return collector
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Everything that it printed: what it received, in words. */
  get text(): string {
    return this.#out
  }

  get spans(): readonly CollectedSpan[] {
    return this.#blocks(/^Span #\d+$/m).map((block) => ({
      trace: fieldOf(block, 'Trace ID'),
      id: fieldOf(block, 'ID'),
      parent: fieldOf(block, 'Parent ID'),
      name: fieldOf(block, 'Name'),
      attributes: new Map(
        [...block.matchAll(/^ {5}-> (\S+): \w+\((.*)\)$/gm)].map(([, key = '', value = '']) => [key, value]),
      ),
    }))
  }

  get metrics(): readonly CollectedMetric[] {
    return this.#blocks(/^Metric #\d+$/m).map((block) => ({
      name: /^ {5}-> Name: (.*)$/m.exec(block)?.[1] ?? '',
      type: /^ {5}-> DataType: (.*)$/m.exec(block)?.[1] ?? '',
      cumulative: /^ {5}-> AggregationTemporality: Cumulative$/m.test(block),
    }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const ended = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await ended
  }

  #blocks(begin: RegExp): readonly string[] {
    return this.#out
      .split(/^(?:Resource\w+ #\d+|Traces\t.*|Metrics\t.*)$/m)
      .flatMap((part) => part.split(begin).slice(1))
  }
}

function fieldOf(block: string, name: string): string {
  return new RegExp(`^ {4}${name} *: (.*)$`, 'm').exec(block)?.[1] ?? ''
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
