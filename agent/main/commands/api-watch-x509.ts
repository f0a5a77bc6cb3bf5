import { addressOf } from '../../client/address.js'
import { changes } from '../../client/changes.js'
import type { Retry } from '../../client/watch.js'
import type { X509Context } from '../../client/x509-context.js'
import { iso } from '../../lib/time.js'
import { printable } from '../../observability/printable.js'
import { API_OPTIONS, API_OPTIONS_HELP, openClient } from '../api-client.js'
import { readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'
import { changeJson, svidJson } from '../svid-json.js'
import { changeText } from '../svid-text.js'
import { type Style, styleFor } from '../terminal/style.js'
import { timeOfDay } from '../terminal/time.js'

export const apiWatchX509: Command = {
  help: `Usage: icp-agent api watch x509 [OPTIONS]

Shows the X.509-SVIDs of this process and then, line by line, what each update of the agent changes:
+ granted, ↻ rotated, − withdrawn, ! another default identity, ~ a bundle. If the agent is unavailable or
denies the call, the command says so and tries again. Ctrl-C ends it.

Options:
${API_OPTIONS_HELP}; json: one line per update, with its SVIDs and changes

Exit codes: 0 stopped; 1 failed, and a retry would not help; 2 wrong usage.

Example:
  icp-agent api watch x509 -o json | jq -c '.changes[]'
`,
  async run(args, io) {
    const { options } = readArguments(args, API_OPTIONS)
    const style = styleFor(io.stderr, io.env)
    const { client, json, clock } = await openClient(options, io, (retry) => {
      io.stderr.write(retryText(retry, clock.now(), style))
    })
    using _ = client
    if (!json) io.stdout.write(`${style.dim(`watching ${printable(addressOf(client.endpoint))}`)}\n`)
    let before: X509Context | null = null
    for await (const context of client.watchX509Svids(io.signal)) {
      show(before, context, clock.now(), json, io)
      before = context
    }
    return 0
  },
}

function show(before: X509Context | null, context: X509Context, now: number, json: boolean, io: CommandIo): void {
  const found = changes(before, context)
  if (json) {
    const document = {
      time: iso(now),
      changes: found.map(changeJson),
      svids: context.svids.map(svidJson),
    }
    io.stdout.write(`${JSON.stringify(document)}\n`)
    return
  }
  const style = styleFor(io.stdout, io.env)
  const lines =
    found.length > 0 ? found.map((change) => changeText(change, now, style)) : [style.dim('nothing changed')]
  io.stdout.write(lines.map((line) => `${style.dim(timeOfDay(now))} ${line}\n`).join(''))
}

function retryText({ error, delayMs }: Retry, now: number, { dim, yellow }: Style): string {
  const again = dim(`[${error.code}] again in ${delayMs / 1000} s`)
  return `${dim(timeOfDay(now))} ${yellow('…')} ${printable(error.message)} ${again}\n`
}
