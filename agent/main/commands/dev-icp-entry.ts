import { printable } from '../../observability/printable.js'
import { choice, duration, misused, quoted, readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'
import { DevIcpAdmin, type DevIcpEntry } from '../dev-icp-server.js'
import { SYNC_SECONDS } from '../dev-icp-welcome.js'
import { spiffeIdOption } from '../file-options.js'

const COMMON = { data: { type: 'string' } } as const
const OUTPUT = { output: { type: 'string', short: 'o' } } as const
const CREATE = { ...COMMON, ...OUTPUT, ttl: { type: 'string' }, parent: { type: 'string' } } as const
/** A SPIFFE ID and its selectors. */
const MAX_WORDS = 65

const DATA_HELP = `  --data DIR            the directory of the server (icp-agent dev-icp --data DIR); default ./dev-icp`

export const devIcpEntryCreate: Command = {
  help: `Usage: icp-agent dev-icp entry create [OPTIONS] SPIFFE-ID KEY=VALUE...

Registers a workload: a process with all of these selectors gets this SPIFFE ID. A path (/web) is in the
server's trust domain. The real server has the same call, POST /v1/entries.

Options:
${DATA_HELP}
  --ttl DURATION        life of its X.509-SVIDs; default: the server's
  --parent SPIFFE-ID    only this agent serves it; default: every agent of the account
  -o, --output FORMAT   pretty (default) or json

Exit codes: 0 registered; 1 refused or failed; 2 wrong usage.

Example:
  icp-agent dev-icp entry create /web unix:uid=$(id -u)
`,
  async run(args, io) {
    const { options, positionals } = readArguments(args, CREATE, MAX_WORDS)
    const [id, ...pairs] = positionals
    if (id === undefined || pairs.length === 0) {
      throw misused('a SPIFFE ID and at least one selector are needed, such as /web unix:uid=1000')
    }
    const selectors = Object.fromEntries(pairs.map(selector))
    const parent = options.parent === undefined ? null : spiffeIdOption(options.parent, '--parent')
    const ttl = options.ttl === undefined ? undefined : Math.ceil(duration(options.ttl, 0, '--ttl') / 1000)
    await using admin = await open(options.data, io)
    const entry = await admin.createEntry({
      spiffe_id: id.startsWith('/') ? `spiffe://${admin.server.trust_domain}${id}` : id,
      selectors,
      ...(ttl === undefined ? {} : { ttl }),
      ...(parent === null ? {} : { parent_id: parent }),
    })
    show([entry], options.output, io)
    if (options.output !== 'json')
      io.stderr.write(
        `The agent of agent.yaml reads it within ${SYNC_SECONDS} s; another one within its sync.interval, 30s by default.\n`,
      )
    return 0
  },
}

export const devIcpEntryList: Command = {
  help: `Usage: icp-agent dev-icp entry list [OPTIONS]

Lists the registration entries, newest first, at most 1000.

Options:
${DATA_HELP}
  -o, --output FORMAT   pretty (default) or json

Exit codes: 0 listed; 1 failed; 2 wrong usage.

Example:
  icp-agent dev-icp entry list --data ./dev-icp
`,
  async run(args, io) {
    const { options } = readArguments(args, { ...COMMON, ...OUTPUT })
    await using admin = await open(options.data, io)
    show(await admin.entries(), options.output, io)
    return 0
  },
}

export const devIcpEntryDelete: Command = {
  help: `Usage: icp-agent dev-icp entry delete [OPTIONS] ENTRY-ID|SPIFFE-ID

Removes a registration entry, by its id, its SPIFFE ID or its path.

Options:
${DATA_HELP}

Exit codes: 0 removed; 1 not found or failed; 2 wrong usage.

Example:
  icp-agent dev-icp entry delete /web
`,
  async run(args, io) {
    const { options, positionals } = readArguments(args, COMMON, 1)
    const [named] = positionals
    if (named === undefined) throw misused('the id of an entry, or its SPIFFE ID, is needed')
    await using admin = await open(options.data, io)
    const uri = named.startsWith('/') ? `spiffe://${admin.server.trust_domain}${named}` : named
    const entry = (await admin.entries()).find(({ id, spiffe_id }) => id === named || spiffe_id === uri)
    if (!entry) {
      io.stderr.write(`there is no entry ${printable(quoted(named))}; icp-agent dev-icp entry list shows all\n`)
      return 1
    }
    await admin.deleteEntry(entry.id)
    io.stdout.write(`removed ${printable(entry.spiffe_id)}\n`)
    return 0
  },
}

async function open(data: string | undefined, io: CommandIo): Promise<DevIcpAdmin> {
  return await DevIcpAdmin.in(data ?? './dev-icp', io.env['ICP_DEV_ADMIN_TOKEN'] || undefined)
}

/** `unix:uid=1000`: a key has no equals sign, but a value may. */
function selector(pair: string): readonly [string, string] {
  const at = pair.indexOf('=')
  if (at < 1) throw misused(`a selector is KEY=VALUE, such as unix:uid=1000, not ${quoted(pair)}`)
  return [pair.slice(0, at), pair.slice(at + 1)]
}

function show(entries: readonly DevIcpEntry[], output: string | undefined, io: CommandIo): void {
  if (choice(output, ['pretty', 'json'], '--output') === 'json') {
    io.stdout.write(`${JSON.stringify(entries, null, 2)}\n`)
    return
  }
  if (entries.length === 0) io.stdout.write('There are no entries.\n')
  for (const { id, spiffe_id, selectors, ttl, parent_id } of entries) {
    io.stdout.write(`${printable(spiffe_id)}\n`)
    const pairs = Object.entries(selectors).map(([key, value]) => ['selector', `${key} = ${value}`] as const)
    const rows = [['id', id], ...pairs, ['ttl', ttl ? `${ttl} s` : ''], ['agent', parent_id ?? '']] as const
    for (const [name, value] of rows) if (value) io.stdout.write(`    ${name.padEnd(10)}${printable(value)}\n`)
  }
}
