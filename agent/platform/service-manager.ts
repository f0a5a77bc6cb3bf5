import { messageOf } from '../errors.js'
import type { Log } from '../observability/log.js'
import type { ServiceManager } from '../ports/service-manager.js'
import { type Libc, loadLibc } from './koffi-libc.js'

const NOBODY: ServiceManager = {
  ready() {},
  reloading() {},
  stopping() {},
  status() {},
  watchdogMs: null,
  alive() {},
}

/**
 * The service manager of the environment (sd_notify(3): NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID), or one that ignores
 * notifications. A notification that cannot be sent is logged once and does not stop the agent.
 */
export function serviceManager(
  env: Readonly<Record<string, string | undefined>>,
  { pid, log, libc = loadLibc, monotonicMicroseconds = sinceBoot }: Options,
): ServiceManager {
  const path = env['NOTIFY_SOCKET']
  if (!path) return NOBODY
  let failed = false
  const send = (message: string) => {
    try {
      libc().sendDatagram(path, message)
    } catch (error) {
      if (!failed)
        log.warn('Service manager cannot be notified of the state of the agent', { reason: messageOf(error) })
      failed = true
    }
  }
  const mine = env['WATCHDOG_PID'] === undefined || env['WATCHDOG_PID'] === String(pid)
  const watchdogUsec = mine ? Number(env['WATCHDOG_USEC'] ?? 0) : 0
  return {
    ready: () => send('READY=1'),
    reloading: () => send(`RELOADING=1\nMONOTONIC_USEC=${monotonicMicroseconds()}`),
    stopping: () => send('STOPPING=1'),
    status: (text) => send(`STATUS=${text.replace(/[\r\n]/g, ' ')}`),
    watchdogMs: watchdogUsec > 0 ? watchdogUsec / 1000 : null,
    alive: () => send('WATCHDOG=1'),
  }
}

interface Options {
  readonly pid: number
  readonly log: Pick<Log, 'warn'>
  readonly libc?: () => Pick<Libc, 'sendDatagram'>
  /** CLOCK_MONOTONIC, as the protocol requires. */
  readonly monotonicMicroseconds?: () => bigint
}

function sinceBoot(): bigint {
  return process.hrtime.bigint() / 1000n
}
