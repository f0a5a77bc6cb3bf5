import type { Socket } from 'node:net'
import { isLoopback } from './loopback.js'

export interface ProbeLimits {
  /** Connections from one address of the network (IPv6: one /64). */
  readonly perAddress: number
  /** Connections from the network together. */
  readonly network: number
  /** Connections from this machine. */
  readonly loopback: number
}

/** Connections of one origin: silent ones by when they fell silent, busy ones by when their request came, oldest first. */
interface Share {
  readonly origin: string
  readonly silent: Set<Socket>
  readonly asking: Set<Socket>
}

const LOOPBACK = 'loopback'

/**
 * Makes room for new connections: if a share is full, the connection in it that has been silent for longest is closed. A
 * probe sends its request at once, so a silent connection is not a probe. Silent connections of one address do not reduce
 * the share of another one, and those from the network do not reduce that of this machine.
 */
export class ProbeConnections {
  readonly #shares = new Map<string, Share>()
  readonly #shareOf = new Map<Socket, Share>()

  constructor(private readonly limits: ProbeLimits) {}

  /** A connection was accepted. */
  admit(socket: Socket): void {
    const origin = originOf(socket.remoteAddress)
    const share = this.#share(origin)
    const own = origin === LOOPBACK
    if (sizeOf(share) >= this.limits[own ? 'loopback' : 'perAddress']) this.#evict(share)
    else if (!own && this.#onNetwork() >= this.limits.network) this.#evict(this.#largest())
    share.silent.add(socket)
    this.#shares.set(origin, share)
    this.#shareOf.set(socket, share)
    socket.once('close', () => this.#forget(socket))
  }

  /** A request has arrived on the connection. */
  asks(socket: Socket): void {
    const share = this.#shareOf.get(socket)
    if (share?.silent.delete(socket)) share.asking.add(socket)
  }

  /** Its request was answered. */
  answered(socket: Socket): void {
    const share = this.#shareOf.get(socket)
    if (share?.asking.delete(socket)) share.silent.add(socket)
  }

  #share(origin: string): Share {
    return this.#shares.get(origin) ?? { origin, silent: new Set(), asking: new Set() }
  }

  #onNetwork(): number {
    return this.#shareOf.size - sizeOf(this.#share(LOOPBACK))
  }

  #largest(): Share {
    const shares = [...this.#shares.values()].filter(({ origin }) => origin !== LOOPBACK)
    return shares.reduce((largest, share) => (sizeOf(share) > sizeOf(largest) ? share : largest))
  }

  /** Closes the longest silent connection; if none is silent, the one whose answer has taken longest. */
  #evict(share: Share): void {
    const [oldest] = share.silent.size > 0 ? share.silent : share.asking
    if (!oldest) return
    this.#forget(oldest)
    // A reset, because after an ordinary close the kernel would keep the socket for another minute.
    oldest.resetAndDestroy()
  }

  #forget(socket: Socket): void {
    const share = this.#shareOf.get(socket)
    if (!share) return
    this.#shareOf.delete(socket)
    share.silent.delete(socket)
    share.asking.delete(socket)
    if (sizeOf(share) === 0) this.#shares.delete(share.origin)
  }
}

function sizeOf({ silent, asking }: Share): number {
  return silent.size + asking.size
}

/** One host of an IPv6 network has all addresses of its /64. */
function originOf(address: string | undefined): string {
  if (isLoopback(address)) return LOOPBACK
  if (address === undefined || !address.includes(':')) return address ?? 'unknown'
  if (address.startsWith('::ffff:')) return address.slice(7)
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const rest = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length
  return [...groups, ...Array<string>(zeros).fill('0'), ...rest].slice(0, 4).join(':')
}
