import { codeOf, type ErrorCode, messageOf } from '../errors.js'
import type { Clock } from '../ports/clock.js'
import type { Fields, Log } from './log.js'

/** What is wrong now, and since when (milliseconds since 1970). */
export interface Trouble {
  readonly code: ErrorCode
  readonly message: string
  readonly since: number
}

/** One thing that is tried again and again, and may fail for a while. */
export interface Recurring {
  failed(error: unknown, fields?: Fields): void
  succeeded(fields?: Fields): void
  /** Null while it works. */
  readonly trouble: Trouble | null
}

/**
 * Says a repeating failure once: a warning when it begins, and again only for an error code that this spell of failures
 * has not shown before; debug lines while it lasts; one info line with `after_seconds` and `failures` when it ends.
 * Success after success says nothing.
 */
export function sayOnce(log: Log, clock: Clock, texts: { failing: string; recovered: string }): Recurring {
  let spell: { trouble: Trouble; began: number; failures: number; said: Set<ErrorCode> } | null = null
  return {
    failed(error, fields = {}) {
      const code = codeOf(error)
      spell ??= {
        trouble: { code, message: messageOf(error), since: clock.now() },
        began: clock.monotonic(),
        failures: 0,
        said: new Set(),
      }
      spell.failures++
      spell.trouble = { code, message: messageOf(error), since: spell.trouble.since }
      const level = spell.said.has(code) ? 'debug' : 'warn'
      spell.said.add(code)
      log[level](texts.failing, { ...fields, error })
    },
    succeeded(fields = {}) {
      if (!spell) return
      const after = Math.round((clock.monotonic() - spell.began) / 100) / 10
      log.info(texts.recovered, { ...fields, after_seconds: after, failures: spell.failures })
      spell = null
    },
    get trouble() {
      return spell?.trouble ?? null
    },
  }
}
