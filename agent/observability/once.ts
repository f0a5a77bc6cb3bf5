import { codeOf, type ErrorCode, messageOf } from '../errors.js'
import { secondsOf } from '../lib/time.js'
import type { Clock } from '../ports/clock.js'
import type { Fields, FieldsAfter, FieldsOf, Level, Log, MessageAt } from './log.js'

/** A problem that lasts, and since when (milliseconds since 1970). */
export interface Trouble {
  readonly code: ErrorCode
  readonly message: string
  readonly since: number
}

/** Something that is retried and may fail for a while. */
export interface Recurring<Failing extends readonly unknown[] = [], Recovered extends readonly unknown[] = []> {
  failed(error: unknown, ...fields: Failing): void
  succeeded(...fields: Recovered): void
  /** Null while it works. */
  readonly trouble: Trouble | null
}

/** The log lines for failure and recovery. */
interface Texts<F, R> {
  readonly failing: F
  readonly recovered: R
}

/** Fields that the caller adds to those of this module. */
type Own<T, Added extends keyof T> = FieldsAfter<{ readonly [K in keyof T as K extends Added ? never : K]: T[K] }>

/**
 * Logs a repeating failure once: a warning when it begins, and again only for an error code that this spell of failures
 * has not shown before; debug lines while it lasts; one info line with `after_seconds` and `failures` when it ends.
 * Repeated success logs nothing.
 */
export function sayOnce<F extends MessageAt<'warn'> & MessageAt<'debug'>, R extends MessageAt<'info'>>(
  log: Pick<Log, 'at'>,
  clock: Clock,
  texts: Texts<F, R>,
): Recurring<
  Own<FieldsOf<F>, 'error' & keyof FieldsOf<F>>,
  Own<FieldsOf<R>, ('after_seconds' | 'failures') & keyof FieldsOf<R>>
>
export function sayOnce(
  log: { at(level: Level, event: string, fields: Fields): void },
  clock: Clock,
  texts: Texts<string, string>,
): Recurring<[Fields?], [Fields?]> {
  let spell: { trouble: Trouble; began: number; failures: number; logged: Set<ErrorCode> } | null = null
  return {
    failed(error, fields = {}) {
      const code = codeOf(error)
      spell ??= {
        trouble: { code, message: messageOf(error), since: clock.now() },
        began: clock.monotonic(),
        failures: 0,
        logged: new Set(),
      }
      spell.failures++
      spell.trouble = { code, message: messageOf(error), since: spell.trouble.since }
      const level = spell.logged.has(code) ? 'debug' : 'warn'
      spell.logged.add(code)
      log.at(level, texts.failing, { ...fields, error })
    },
    succeeded(fields = {}) {
      if (!spell) return
      const after = secondsOf(clock.monotonic() - spell.began)
      log.at('info', texts.recovered, { ...fields, after_seconds: after, failures: spell.failures })
      spell = null
    },
    get trouble() {
      return spell?.trouble ?? null
    },
  }
}
