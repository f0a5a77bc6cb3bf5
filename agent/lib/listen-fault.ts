/** Why a port could not be opened, and who may hold it. The caller adds what to do. */
export function listenFault(host: string, port: number, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no errno'
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`
  switch (code) {
    case 'EADDRINUSE':
      return `${where} is in use by another program, perhaps another agent or an earlier run (ss -ltnp 'sport = :${port}' shows it)`
    case 'EADDRNOTAVAIL':
      return `${host} is not an address of this machine`
    case 'EACCES':
      return `${where} is below 1024, which only root may open`
    default:
      return `${where} cannot be opened (${code})`
  }
}
