import { Secret } from '../../crypto/secret.js'
import { printable } from '../../observability/printable.js'
import { API_OPTIONS, API_OPTIONS_HELP, inTime, openClient, patience } from '../api-client.js'
import { misused, readArguments } from '../arguments.js'
import type { Command } from '../command.js'
import { namedFile } from '../named-file.js'
import { styleFor } from '../terminal/style.js'

const OPTIONS = {
  ...API_OPTIONS,
  audience: { type: 'string', short: 'a' },
  file: { type: 'string', short: 'f' },
  timeout: { type: 'string' },
} as const
const MAX_TOKEN_BYTES = 65_536

export const apiValidateJwt: Command = {
  help: `Usage: icp-agent api validate jwt --audience NAME --file FILE [OPTIONS]

Asks the agent whether a token is valid for an audience, and shows its claims. The token is read from a
file (/dev/stdin for standard input), so that \`ps\` does not show it.

Options:
  -a, --audience NAME   the audience that the token must name
  -f, --file FILE       the file with the token; white space around it is ignored
${API_OPTIONS_HELP}
  --timeout DURATION    how long to wait for the answer; default 10s. If given, the
                        command also waits for an agent that does not run yet

Exit codes: 0 valid; 1 not valid, or the call failed; 2 wrong usage.

Example:
  icp-agent api fetch jwt -a billing --token | icp-agent api validate jwt -a billing -f /dev/stdin
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    if (!options.audience) throw misused('--audience is missing: name the audience that the token must name')
    if (!options.file) throw misused('--file is missing: name the file that holds the token')
    const within = patience(options.timeout, 10_000)
    const token = (await namedFile(options.file, MAX_TOKEN_BYTES, '--file')).toString('utf8').trim()
    if (token === '') throw misused(`${options.file} holds no token`)
    const { audience } = options
    const { client, json, clock } = await openClient(options, io)
    using _ = client
    const valid = await inTime(within, clock, io, (signal) =>
      client.validateJwtSvid(new Secret(token), audience, signal),
    )
    if (json) {
      io.stdout.write(`${JSON.stringify({ spiffe_id: valid.spiffeId.uri, claims: valid.claims }, null, 2)}\n`)
      return 0
    }
    const style = styleFor(io.stdout, io.env)
    io.stdout.write(`${style.bold(printable(valid.spiffeId.uri))}  the token is valid for ${printable(audience)}\n`)
    for (const [name, value] of Object.entries(valid.claims)) {
      io.stdout.write(
        `    ${printable(name)}  ${printable(typeof value === 'string' ? value : JSON.stringify(value))}\n`,
      )
    }
    return 0
  },
}
