/** Why a port could not be listened on, with who may hold it; what to do about it is the caller's to say. */
export function listenFault(host: string, port: number, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no errno'
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`
  switch (code) {
    case 'EADDRINUSE':
      return `${where} is taken: another program listens there, perhaps another of this kind (ss -ltnp 'sport = :${port}' names it)`
    case 'EADDRNOTAVAIL':
      return `${host} is no address of this machine`
    case 'EACCES':
      return `${where} may not be opened by this user, who needs a port from 1024`
    default:
      return `${where} cannot be listened on (${code})`
  }
}
