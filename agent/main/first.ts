/** What ends a process that does not handle it, and is no crash. SIGPIPE is ignored by Node. */
export const SIGNALS: readonly NodeJS.Signals[] = [
  'SIGHUP',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGVTALRM',
  'SIGIO',
  'SIGPWR',
  'SIGSTKFLT',
  'SIGXCPU',
  'SIGXFSZ',
]

// The first module that is loaded, and one that loads nothing: until a handler stands, SIGUSR1 opens Node's debugger on
// a port of loopback, through which every local user runs code in this process. The daemon's other signals begin here too,
// so that a log rotation does not end one that starts. What is done about a signal is decided later (process.ts); these
// handlers are never taken away, or the signal would end the process, a daemon that stops too.
const [command = ''] = process.argv.slice(2)
const daemon = command === '' || command === 'run' || command.startsWith('-')
for (const signal of daemon ? SIGNALS : (['SIGUSR1'] as const)) process.on(signal, () => undefined)
