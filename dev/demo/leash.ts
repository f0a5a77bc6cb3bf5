/**
 * Runs `icp-agent` with the same arguments, and ends it when the parent process is gone, so that a killed demo leaves no
 * process.
 */
process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume()
// The pipe must not keep the process running. (It is a socket, in spite of its type.)
if ('unref' in process.stdin && typeof process.stdin.unref === 'function') process.stdin.unref()
await import('../../agent/main/index.js')

export {}
