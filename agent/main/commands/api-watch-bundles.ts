import { addressOf } from '../../client/address.js'
import type { JwtBundleSet } from '../../client/jwt.js'
import type { BundleSet } from '../../identity/trust-bundle.js'
import { iso } from '../../lib/time.js'
import { printable } from '../../observability/printable.js'
import { API_OPTIONS, API_OPTIONS_HELP, openClient } from '../api-client.js'
import { readArguments } from '../arguments.js'
import { bundlesJson, bundlesText, readBundles } from '../bundle-listing.js'
import type { Command } from '../command.js'
import { styleFor } from '../terminal/style.js'
import { timeOfDay } from '../terminal/time.js'

export const apiWatchBundles: Command = {
  help: `Usage: icp-agent api watch bundles [OPTIONS]

Shows the authorities and JWT keys of every trust domain, and all of them again after each change. If the
agent is unavailable, the command says so and tries again. Ctrl-C ends it.

Options:
${API_OPTIONS_HELP}; json: one line per change

Exit codes: 0 stopped; 1 failed, and a retry would not help; 2 wrong usage.

Example:
  icp-agent api watch bundles
`,
  async run(args, io) {
    const { options } = readArguments(args, API_OPTIONS)
    const complaint = styleFor(io.stderr, io.env)
    const { client, json, clock } = await openClient(options, io, ({ error, delayMs }) => {
      const again = complaint.dim(`[${error.code}] again in ${delayMs / 1000} s`)
      io.stderr.write(`${complaint.dim(timeOfDay(clock.now()))} ${printable(error.message)} ${again}\n`)
    })
    using _ = client
    const style = styleFor(io.stdout, io.env)
    if (!json) io.stdout.write(`${style.dim(`watching ${printable(addressOf(client.endpoint))}`)}\n`)
    let x509: BundleSet = new Map()
    let jwt: JwtBundleSet = new Map()
    const show = () => {
      const bundles = readBundles(x509, jwt)
      const time = iso(clock.now())
      if (json) io.stdout.write(`${JSON.stringify({ time, ...bundlesJson(bundles) })}\n`)
      else io.stdout.write(`\n${style.dim(timeOfDay(clock.now()))}\n${bundlesText(bundles, style)}`)
    }
    const certificates = async () => {
      for await (x509 of client.watchX509Bundles(io.signal)) show()
    }
    const keys = async () => {
      for await (jwt of client.watchJwtBundles(io.signal)) show()
    }
    await Promise.all([certificates(), keys()])
    return 0
  },
}
