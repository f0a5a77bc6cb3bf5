import type { Clock } from '../ports/clock.js'
import type { Log } from './log.js'
import { type Recurring, sayOnce, type Trouble } from './once.js'

/** A reread file that cannot be used now; its last good content stays in force. */
export interface BrokenFile extends Trouble {
  readonly path: string
}

/** Registers a file; `holder`: the setting that names it, or what the file is. */
export interface FileReports {
  file(path: string, holder: string): Recurring
}

/** The files that the agent rereads while it runs: a problem is logged once, and `/status` shows it. */
export const fileEvents = (log: Log, clock: Clock) => {
  const watched = new Set<{ readonly path: string; readonly recurring: Recurring }>()
  const file = (path: string, holder: string, own?: (forget: () => void) => void): Recurring => {
    const once = sayOnce(log, clock, {
      failing: 'Reread file cannot be used; its last good content stays in force',
      recovered: 'Reread file can be used again',
    })
    const recurring: Recurring = {
      failed: (error) => once.failed(error, { path, holder }),
      succeeded: () => once.succeeded({ path, holder }),
      get trouble() {
        return once.trouble
      },
    }
    const one = { path, recurring }
    watched.add(one)
    own?.(() => watched.delete(one))
    return recurring
  }
  return {
    file: (path: string, holder: string): Recurring => file(path, holder),

    /** For files of one part of the agent, which are forgotten when that part is replaced. */
    scope(): FileReports & Disposable {
      const forgets: (() => void)[] = []
      return {
        file: (path, holder) => file(path, holder, (forget) => forgets.push(forget)),
        [Symbol.dispose]: () => {
          for (const forget of forgets.splice(0)) forget()
        },
      }
    },

    /** Those that cannot be used now. */
    broken: (): readonly BrokenFile[] =>
      [...watched].flatMap(({ path, recurring }) => (recurring.trouble === null ? [] : { path, ...recurring.trouble })),
  }
}

export type FileEvents = ReturnType<typeof fileEvents>
