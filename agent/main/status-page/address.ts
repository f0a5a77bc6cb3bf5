import { isLoopback } from '../../observability/loopback.js'
import { misused, quoted } from '../arguments.js'

export interface PageAddress {
  readonly address: string
  /** 0: any that is free. */
  readonly port: number
}

/** `127.0.0.1:8090`, `[::1]:8090`, `localhost:8090` or a port alone. Throws `command.misused` for what is not loopback. */
export function pageAddress(text: string | undefined): PageAddress {
  if (text === undefined) return { address: '127.0.0.1', port: 0 }
  const match = /^(?:(?<host>localhost|[\d.]+|\[[\da-f:.]+\]):)?(?<port>\d{1,5})$/i.exec(text)
  const { host = '127.0.0.1', port = '' } = match?.groups ?? {}
  const address = host.toLowerCase() === 'localhost' ? '127.0.0.1' : host.replace(/^\[|\]$/g, '')
  if (!match || Number(port) > 65_535 || !isLoopback(address)) {
    throw misused(`--serve takes an address of this machine alone, such as 127.0.0.1:8090, not ${quoted(text)}`)
  }
  return { address, port: Number(port) }
}
