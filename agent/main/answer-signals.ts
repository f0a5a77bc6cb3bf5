import type { AgentLog } from '../platform/pino-log.js'

/**
 * What the agent does at the signals that would end it. SIGHUP, SIGUSR1 and SIGUSR2 reopen the log file, as those
 * expect who come from other daemons or write rules for logrotate; SIGHUP also reads the configuration again. Started
 * with `--disable-sigusr1`, Node 26 blocks SIGUSR1, and it does not come. The others do nothing, and each is said once.
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
