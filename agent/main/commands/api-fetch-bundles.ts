import { addressOf } from '../../client/address.js'
import { printable } from '../../observability/printable.js'
import { API_OPTIONS, API_OPTIONS_HELP, inTime, openClient, patience } from '../api-client.js'
import { readArguments } from '../arguments.js'
import { bundlesJson, bundlesText, readBundles } from '../bundle-listing.js'
import type { Command } from '../command.js'
import { styleFor } from '../terminal/style.js'

const OPTIONS = { ...API_OPTIONS, timeout: { type: 'string' } } as const

export const apiFetchBundles: Command = {
  help: `Usage: icp-agent api fetch bundles [OPTIONS]

Fetches the authorities and JWT keys of every trust domain that the agent serves to this process.

Options:
${API_OPTIONS_HELP}; json has the certificates as PEM and each JWKS
  --timeout DURATION    how long to wait for the answer; default 10s. If given, the
                        command also waits for an agent that does not run yet

Exit codes: 0 fetched; 1 refused or failed; 2 wrong usage.

Example:
  icp-agent api fetch bundles -o json | jq -r '.x509["example.org"]' > ca.pem
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const within = patience(options.timeout, 10_000)
    const { client, dialect, json, clock } = await openClient(options, io)
    using _ = client
    const bundles = await inTime(within, clock, io, async (signal) => {
      const x509 = await client.fetchX509Bundles(signal)
      return readBundles(x509, await client.fetchJwtBundles(signal))
    })
    if (json) {
      const document = { socket: addressOf(client.endpoint), dialect, ...bundlesJson(bundles) }
      io.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
      return 0
    }
    const style = styleFor(io.stdout, io.env)
    io.stdout.write(`${style.dim(`from ${printable(addressOf(client.endpoint))}`)}\n\n${bundlesText(bundles, style)}`)
    return 0
  },
}
