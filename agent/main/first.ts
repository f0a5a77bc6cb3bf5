// The first module that is loaded, and one that loads nothing: until a handler stands, SIGUSR1 opens Node's debugger on
// a port of loopback, through which every local user runs code in this process. What is done about the signal is
// decided later (process.ts); this handler is never taken away, or the signal would end the process.
process.on('SIGUSR1', () => undefined)
