const NAMES = new Set(['localhost', 'localhost.localdomain', 'ip6-localhost', 'ip6-loopback'])

/** Whether an address, as Node writes it for a socket, is a loopback address. */
export function isLoopback(address: string | undefined): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address ?? '')
}

/**
 * Whether a request to a loopback address may have this Host header: none, or a loopback name. A web page whose own name
 * resolves to 127.0.0.1 (DNS rebinding) sends that name, and is refused.
 */
export function isLoopbackHost(host: string | undefined): boolean {
  const name = (host ?? '').trim().toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
  return name === '' || NAMES.has(name) || name === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(name)
}
