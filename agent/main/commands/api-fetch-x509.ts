import { resolve } from 'node:path'
import { addressOf } from '../../client/address.js'
import { printable } from '../../observability/printable.js'
import { Disk } from '../../platform/disk.js'
import { API_OPTIONS, API_OPTIONS_HELP, inTime, openClient, patience } from '../api-client.js'
import { readArguments } from '../arguments.js'
import type { Command } from '../command.js'
import { contextJson } from '../svid-json.js'
import { contextText } from '../svid-text.js'
import { count } from '../terminal/count.js'
import { styleFor } from '../terminal/style.js'
import { writeSvids } from '../write-svids.js'

const OPTIONS = { ...API_OPTIONS, timeout: { type: 'string' }, write: { type: 'string' } } as const

export const apiFetchX509: Command = {
  help: `Usage: icp-agent api fetch x509 [OPTIONS]

Fetches the X.509-SVIDs of this process from the agent, verifies them, and shows them. It never prints
private keys; --write writes them to files.

Options:
${API_OPTIONS_HELP}
  --timeout DURATION    how long to wait for the answer; default 10s. If given, the
                        command also waits for an agent that does not run yet
  --write DIR           write svid.N.pem, svid.N.key (mode 0600), bundle.N.pem and
                        federated.NAME.pem into DIR, each file atomically

Exit codes: 0 fetched; 1 refused or failed; 2 wrong usage.

Example:
  icp-agent api fetch x509 --socket unix:///run/spire/sockets/agent.sock --write /tmp/identity
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const within = patience(options.timeout, 10_000)
    const { client, dialect, json, clock } = await openClient(options, io)
    using _ = client
    const begin = clock.monotonic()
    const context = await inTime(within, clock, io, (signal) => client.fetchX509Svid(signal))
    const ms = Math.round(clock.monotonic() - begin)
    const written = options.write === undefined ? [] : await writeSvids(resolve(options.write), context, new Disk())
    if (json) {
      const document = { socket: addressOf(client.endpoint), dialect, ...contextJson(context) }
      io.stdout.write(`${JSON.stringify(options.write === undefined ? document : { ...document, written }, null, 2)}\n`)
      return 0
    }
    const style = styleFor(io.stdout, io.env)
    const where = style.dim(`from ${printable(addressOf(client.endpoint))} in ${ms} ms, verified`)
    io.stdout.write(`${count(context.svids.length, 'identity', 'identities')} ${where}\n\n`)
    io.stdout.write(contextText(context, clock.now(), style))
    if (written.length > 0) {
      io.stdout.write(`\n${style.bold('Written')}\n${written.map((path) => `    ${printable(path)}\n`).join('')}`)
    }
    return 0
  },
}
