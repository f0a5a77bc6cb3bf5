import { join, resolve } from 'node:path'
import { addressOf } from '../../client/address.js'
import type { HeldJwtSvid } from '../../client/jwt.js'
import { iso } from '../../lib/time.js'
import { printable } from '../../observability/printable.js'
import { Disk } from '../../platform/disk.js'
import { API_OPTIONS, API_OPTIONS_HELP, inTime, openClient, patience } from '../api-client.js'
import { misused, readArguments } from '../arguments.js'
import type { Command } from '../command.js'
import { identityChoice } from '../file-options.js'
import { count } from '../terminal/count.js'
import { styleFor } from '../terminal/style.js'
import { moment, span } from '../terminal/time.js'

const OPTIONS = {
  ...API_OPTIONS,
  audience: { type: 'string', short: 'a' },
  id: { type: 'string' },
  timeout: { type: 'string' },
  write: { type: 'string' },
  token: { type: 'boolean' },
} as const

export const apiFetchJwt: Command = {
  help: `Usage: icp-agent api fetch jwt --audience NAME[,NAME…] [OPTIONS]

Fetches JWT-SVIDs from the agent and shows their SPIFFE IDs, audiences and lives. A token is a secret: the
command prints it only with --token, and writes it to a file of mode 0600 with --write.

Options:
  -a, --audience NAMES  who is to accept the token; separate several by commas
  --id SPIFFE_ID        only for this SPIFFE ID; default: for each identity of the process
${API_OPTIONS_HELP}
  --timeout DURATION    how long to wait for the answer; default 10s. If given, the
                        command also waits for an agent that does not run yet
  --token               print only the token of the first identity, for scripts
  --write DIR           write jwt.N.token (mode 0600) into DIR, each file atomically

Exit codes: 0 fetched; 1 refused or failed; 2 wrong usage.

Example:
  curl -H "Authorization: Bearer $(icp-agent api fetch jwt -a billing --token)" http://localhost:9000/
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const audience = (options.audience ?? '').split(',').filter((name) => name !== '')
    if (audience.length === 0) throw misused('--audience is missing: name who is to accept the token')
    if (options.token && options.output !== undefined) throw misused('--token goes with no --output')
    const spiffeId = identityChoice(options).spiffeId
    const within = patience(options.timeout, 10_000)
    const { client, dialect, json, clock } = await openClient(options, io)
    using _ = client
    const request = { audience, ...(spiffeId === null ? {} : { spiffeId }) }
    const tokens = await inTime(within, clock, io, (signal) => client.fetchJwtSvids(request, signal))
    const written = options.write === undefined ? [] : await write(resolve(options.write), tokens)
    if (options.token) {
      io.stdout.write(`${tokens[0]?.token.reveal() ?? ''}\n`)
      return 0
    }
    if (json) {
      const document = { socket: addressOf(client.endpoint), dialect, svids: tokens.map(tokenJson) }
      io.stdout.write(`${JSON.stringify(options.write === undefined ? document : { ...document, written }, null, 2)}\n`)
      return 0
    }
    const style = styleFor(io.stdout, io.env)
    const where = style.dim(`from ${printable(addressOf(client.endpoint))}`)
    io.stdout.write(`${count(tokens.length, 'JWT-SVID', 'JWT-SVIDs')} ${where}\n`)
    for (const { spiffeId, expiresAt, audience: names, hint } of tokens) {
      io.stdout.write(`\n${style.bold(printable(spiffeId.uri))}${hint === '' ? '' : `  ${printable(hint)}`}\n`)
      io.stdout.write(`    for     ${names.map(printable).join(', ')}\n`)
      io.stdout.write(`    valid   to ${moment(expiresAt)}, ${span(expiresAt - clock.now())} left\n`)
    }
    for (const path of written) io.stdout.write(`    written ${printable(path)}\n`)
    return 0
  },
}

/** All fields except the token itself. */
function tokenJson({ spiffeId, hint, expiresAt, audience }: HeldJwtSvid) {
  return {
    spiffe_id: spiffeId.uri,
    ...(hint === '' ? {} : { hint }),
    audience,
    expires_at: iso(expiresAt),
  }
}

async function write(directory: string, tokens: readonly HeldJwtSvid[]): Promise<readonly string[]> {
  const files = new Disk()
  await files.makeDirectory(directory, 0o700)
  const paths: string[] = []
  for (const [i, { token }] of tokens.entries()) {
    const path = join(directory, `jwt.${i}.token`)
    await files.writeAtomically(path, Buffer.from(token.reveal()), 0o600)
    paths.push(path)
  }
  return paths
}
