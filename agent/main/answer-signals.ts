import type { AgentLog } from '../platform/pino-log.js'
import type { ServiceManager } from '../ports/service-manager.js'

const UNREAD = { remedy: 'restart the agent to use a changed configuration' }

/**
 * What the agent does at the signals that would end it. SIGHUP, SIGUSR1 and SIGUSR2 open the log file anew, as those
 * expect who come from other daemons or write rules for logrotate; the others do nothing, and each is said once.
 */
export function answerSignals(
  log: Pick<AgentLog, 'reopen' | 'info' | 'warn'>,
  manager: Pick<ServiceManager, 'reloading' | 'ready'>,
): (signal: NodeJS.Signals) => void {
  const said = new Set<NodeJS.Signals>()
  return (signal) => {
    if (signal === 'SIGHUP' || signal === 'SIGUSR1') {
      manager.reloading()
      log.reopen()
      manager.ready()
      log.info('The log was opened anew; the configuration was not read again', { signal, ...UNREAD })
    } else if (signal === 'SIGUSR2') {
      log.reopen()
      log.info('The log was opened anew', { signal })
    } else if (!said.has(signal)) {
      said.add(signal)
      log.warn('A signal was received that means nothing to the agent', { signal })
    }
  }
}
