import type { Sinks } from '../../agent/observability/events.js'
import type { Fields, Log } from '../../agent/observability/log.js'
import type { Metrics } from '../../agent/observability/metrics.js'

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly event: string
  readonly fields: Fields
}

/** Sinks that remember: the lines logged and the figures counted. */
export class RecordedSinks implements Sinks {
  readonly lines: LogLine[] = []
  readonly figures: { name: string; value: number; labels: Record<string, string> }[] = []
  readonly gauges = new Map<string, () => readonly { value: number; labels?: unknown }[]>()

  readonly log: Log = this.#logger()
  readonly metrics: Metrics = {
    count: (name: string, ...rest: unknown[]) => this.#figure(name, rest, 1),
    observe: (name: string, value: number, labels?: unknown) =>
      void this.figures.push({ name, value, labels: (labels ?? {}) as Record<string, string> }),
    gauge: (name: string, read: () => readonly { value: number; labels?: unknown }[]) => {
      this.gauges.set(name, read)
      return { [Symbol.dispose]: () => void this.gauges.delete(name) }
    },
  } as Metrics

  /** Events logged, in order, optionally of one level. */
  events(level?: LogLine['level']): string[] {
    return this.lines.filter((line) => !level || line.level === level).map((line) => line.event)
  }

  total(name: string, labels: Record<string, string> = {}): number {
    return this.figures
      .filter((f) => f.name === name && Object.entries(labels).every(([key, value]) => f.labels[key] === value))
      .reduce((sum, f) => sum + f.value, 0)
  }

  #figure(name: string, rest: unknown[], one: number): void {
    const labels = rest.find((part) => typeof part === 'object') as Record<string, string> | undefined
    const by = rest.find((part) => typeof part === 'number') as number | undefined
    this.figures.push({ name, value: by ?? one, labels: labels ?? {} })
  }

  #logger(): Log {
    const line =
      (level: LogLine['level']) =>
      (event: string, fields: Fields = {}) =>
        void this.lines.push({ level, event, fields })
    const log: Log = {
      debug: line('debug'),
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      named: () => log,
    }
    return log
  }
}
