import { BlockList, isIP } from 'node:net'
import { domainToASCII } from 'node:url'

/** The exemptions of `NO_PROXY`. */
export interface NoProxy {
  /** `hostname` as a URL has it (`[fd00::1]`), `port` in digits; empty: that of https. */
  exempts(hostname: string, port: string): boolean
  /** Entries that exempt no host at all, as they were written. */
  readonly useless: readonly string[]
}

interface RequestedHost {
  readonly name: string
  readonly port: number
  readonly family: 'ipv4' | 'ipv6' | null
}
type NoProxyRule = (target: RequestedHost) => boolean

/**
 * Parses `NO_PROXY`. A host is exempt if Go (golang.org/x/net/http/httpproxy) or curl would exempt it. So entries are
 * separated by commas or blanks; `*` exempts all; a name exempts itself and its subdomains; `.name` too, but with a port
 * only the subdomains; `*.name` only the subdomains; an address, with or without brackets, and a network (`10.0.0.0/8`)
 * exempt addresses, also an IPv4 address in its IPv6 form; all but networks may have a port. Names are not resolved, so a
 * network exempts no name.
 */
export function readNoProxy(text: string): NoProxy {
  const written = text.split(/[,\s]+/).filter((entry) => entry !== '')
  const entries = written.map((entry) => ({ entry, matches: entryOf(entry.toLowerCase()) }))
  return {
    exempts(hostname, port) {
      const name = withoutBrackets(hostname.toLowerCase()).replace(/\.+$/, '')
      const target = { name, port: Number(port || 443), family: familyOf(name) }
      return entries.some(({ matches }) => matches?.(target) === true)
    },
    useless: entries.filter(({ matches }) => matches === null).map(({ entry }) => entry),
  }
}

function entryOf(entry: string): NoProxyRule | null {
  if (entry === '*') return () => true
  if (entry.includes('/')) return networkOf(entry)
  const { host, port } = parted(entry)
  if (port !== null && (port < 1 || port > 65_535)) return null
  const family = familyOf(host)
  const matches = family ? addressOf(host, family) : nameOf(host, port !== null)
  if (matches === null) return null
  return (target) => (port === null || port === target.port) && matches(target)
}

/** An IPv6 address has a port only with brackets around it. */
function parted(entry: string): { host: string; port: number | null } {
  const match = /^(\[[^\]]*\]|[^:]*):(\d{1,5})$/.exec(entry)
  if (!match) return { host: withoutBrackets(entry), port: null }
  return { host: withoutBrackets(match[1] ?? ''), port: Number(match[2]) }
}

function networkOf(entry: string): NoProxyRule | null {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(entry)
  const [, network = '', digits = ''] = match ?? []
  const family = familyOf(network)
  const bits = Number(digits)
  if (!match || family === null || bits > (family === 'ipv4' ? 32 : 128)) return null
  const list = new BlockList()
  list.addSubnet(network, bits, family)
  return ({ name, family }) => family !== null && list.check(name, family)
}

function addressOf(address: string, family: 'ipv4' | 'ipv6'): NoProxyRule {
  const list = new BlockList()
  list.addAddress(address, family)
  return ({ name, family }) => family !== null && list.check(name, family)
}

function nameOf(host: string, withPort: boolean): NoProxyRule | null {
  const [, wildcard, dot, rest = ''] = /^(\*(?=\.))?(\.)?(.*?)\.*$/.exec(host) ?? []
  // Only for other characters: domainToASCII parses a name that ends in a number as an address.
  const name = /^[!-~]*$/.test(rest) ? rest : domainToASCII(rest)
  if (!/^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(name)) return null
  // For Go a leading dot means subdomains only, for curl the name too; only Go knows ports and wildcards.
  const itself = wildcard === undefined && (dot === undefined || !withPort)
  return (target) => (itself && target.name === name) || target.name.endsWith(`.${name}`)
}

function familyOf(host: string): 'ipv4' | 'ipv6' | null {
  const version = host.includes('%') ? 0 : isIP(host)
  return version === 0 ? null : version === 4 ? 'ipv4' : 'ipv6'
}

function withoutBrackets(host: string): string {
  return /^\[.*\]$/.test(host) ? host.slice(1, -1) : host
}
