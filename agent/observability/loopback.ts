const NAMES = new Set(['localhost', 'localhost.localdomain', 'ip6-localhost', 'ip6-loopback'])

/** Whether an address of a socket, as Node writes it, never leaves the machine. */
export function isLoopback(address: string | undefined): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address ?? '')
}

/**
 * Whether a Host header may stand on a connection to a loopback address: none, or a name that only this machine has. A
 * page whose own name resolves to 127.0.0.1 (DNS rebinding) sends that name.
 */
export function isLoopbackHost(host: string | undefined): boolean {
  const name = (host ?? '').trim().toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
  return name === '' || NAMES.has(name) || name === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(name)
}
