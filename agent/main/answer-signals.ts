import type { AgentLog } from '../platform/pino-log.js'

/**
 * Handles signals that would otherwise end the agent. SIGHUP, SIGUSR1 and SIGUSR2 reopen the log file, as in other daemons
 * and for logrotate; SIGHUP also reloads the configuration. With `--disable-sigusr1` Node 26 blocks SIGUSR1. Other signals
 * are ignored, and each is logged once.
 */
export function answerSignals(
  log: Pick<AgentLog, 'reopen' | 'info' | 'warn'>,
  reload: () => void,
): (signal: NodeJS.Signals) => void {
  const said = new Set<NodeJS.Signals>()
  return (signal) => {
    if (signal === 'SIGHUP' || signal === 'SIGUSR1' || signal === 'SIGUSR2') {
      log.reopen()
      log.info('Log reopened', { signal })
      if (signal === 'SIGHUP') reload()
    } else if (!said.has(signal)) {
      said.add(signal)
      log.warn('Ignoring a signal that the agent does not handle', { signal })
    }
  }
}
