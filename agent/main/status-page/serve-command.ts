import type { AdminClient } from '../../admin/client.js'
import { SystemClock } from '../../platform/system-clock.js'
import { misused, quoted } from '../arguments.js'
import type { CommandIo } from '../command.js'
import { pageAddress } from './address.js'

/** `status --serve [ADDRESS]`, until Ctrl-C. The address of the page goes to stdout, all else to stderr. */
export async function serveStatus(client: AdminClient, words: readonly string[], io: CommandIo): Promise<number> {
  const [address, more] = words
  if (more !== undefined) throw misused(`unexpected argument ${quoted(more)}`)
  const at = pageAddress(address)
  const { servePage } = await import('./serve.js')
  const opened = (url: string, port: number) => {
    io.stdout.write(`${url}\n`)
    io.stderr.write(
      `Open this address in a browser of this machine; it works once. From elsewhere: ssh -L ${port}:127.0.0.1:${port} THIS-MACHINE, and open it there.\nCtrl-C ends the page.\n`,
    )
  }
  await servePage({ client, clock: new SystemClock(), at }, opened, io.signal)
  return 0
}
