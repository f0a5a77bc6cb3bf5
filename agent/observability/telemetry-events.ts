import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import { sayOnce, type Trouble } from './once.js'

/** What happens to the export of traces and metrics. */
export const telemetryEvents = ({ log }: Pick<Sinks, 'log'>, clock: Clock) => {
  const texts = {
    failing: 'Telemetry cannot be exported',
    recovered: 'Telemetry can be exported again',
  } as const
  const exporting = { traces: sayOnce(log, clock, texts), metrics: sayOnce(log, clock, texts) }
  return {
    started(traces: string | null, metrics: string | null): void {
      log.info('Telemetry is exported', { traces_to: traces ?? 'nowhere', metrics_to: metrics ?? 'nowhere' })
    },
    /** Variables whose values cannot be used. */
    misconfigured(problems: readonly string[]): void {
      if (problems.length > 0) log.warn('Variables of OpenTelemetry cannot be used', { problems })
    },
    exported(signal: 'traces' | 'metrics'): void {
      exporting[signal].succeeded({ signal })
    },
    failed(signal: 'traces' | 'metrics', error: unknown): void {
      exporting[signal].failed(error, { signal })
    },
    /** Why the signal cannot be exported now; null while it can. */
    trouble: (signal: 'traces' | 'metrics'): Trouble | null => exporting[signal].trouble,
  }
}

export type TelemetryEvents = ReturnType<typeof telemetryEvents>
