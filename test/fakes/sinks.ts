import type { Sinks } from '../../agent/observability/events.js'
import { LINES } from '../../agent/observability/lines/index.js'
import type { LineTable } from '../../agent/observability/lines/spec.js'
import type { Fields, Level, Log } from '../../agent/observability/log.js'
import type { Metrics } from '../../agent/observability/metrics.js'
import type { Observer } from '../../agent/observability/observer.js'

export interface LogLine {
  readonly level: Level
  readonly event: string
  readonly fields: Fields
}

/** Sinks that remember: the lines logged and the figures counted. */
export class RecordedSinks implements Sinks {
  readonly lines: LogLine[] = []
  readonly observers: Observer[] = []
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
    const at = (level: Level, event: string, fields: Fields = {}) => {
      this.lines.push({ level, event, fields })
      checkLine(level, event, fields)
    }
    const log: Log = {
      debug: (event: string, fields?: Fields) => at('debug', event, fields),
      info: (event: string, fields?: Fields) => at('info', event, fields),
      warn: (event: string, fields?: Fields) => at('warn', event, fields),
      error: (event: string, fields?: Fields) => at('error', event, fields),
      at,
      named: () => log,
    }
    return log
  }
}

const TABLE: LineTable = Object.assign({}, ...Object.values(LINES))

/** What the compiler cannot see: fields that come from a spread. */
function checkLine(level: Level, event: string, fields: Fields): void {
  const spec = TABLE[event]
  if (!spec) throw new Error(`"${event}" is no line of agent/observability/lines`)
  if (!spec.level.replaceAll('warning', 'warn').split(', then ').includes(level)) {
    throw new Error(`"${event}" was written at level ${level}, and its level is ${spec.level}`)
  }
  // What a getter would give is not asked for: it is there so as not to be made without need.
  const given = Object.entries(Object.getOwnPropertyDescriptors(fields)).flatMap(([name, { get, value }]) =>
    get === undefined && value === undefined ? [] : [name],
  )
  const wanted = Object.keys(spec.fields)
  const unknown = given.filter((name) => !wanted.includes(name) && !wanted.includes(`${name}?`))
  const missing = wanted.filter((name) => !name.endsWith('?') && !given.includes(name))
  if (unknown.length + missing.length > 0) {
    throw new Error(`"${event}": its table does not have ${unknown}, the line does not have ${missing}`)
  }
}
