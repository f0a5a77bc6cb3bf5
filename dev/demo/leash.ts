/**
 * Runs `icp-agent` as it is, and ends it when whoever started it is gone: a demo that is killed leaves no process.
 * The arguments are those of `icp-agent`.
 */
process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume()
// The pipe alone must not keep the process from ending. (It is a socket, whatever its type says.)
if ('unref' in process.stdin && typeof process.stdin.unref === 'function') process.stdin.unref()
await import('../../agent/main/index.js')

export {}
