/** Signals that end a process without a handler, except those of crashes. Node ignores SIGPIPE. */
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

// The first module to load, without imports: until there is a handler, SIGUSR1 opens Node's debugger on a loopback port,
// through which every local user can run code in this process. Other signals are handled from here on too, so that a log
// rotation does not end a starting daemon. process.ts decides what they do; these handlers are never removed, because
// without one a signal would end the process, also while the daemon stops.
const [command = ''] = process.argv.slice(2)
const daemon = command === '' || command === 'run' || command.startsWith('-')
for (const signal of daemon ? SIGNALS : (['SIGUSR1'] as const)) process.on(signal, () => undefined)
