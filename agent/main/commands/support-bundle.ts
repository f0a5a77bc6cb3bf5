import { resolve } from 'node:path'
import { configPath } from '../../config/config-path.js'
import { loadConfig } from '../../config/load.js'
import { AgentError } from '../../errors.js'
import { withDeadline } from '../../lib/deadline.js'
import { printable } from '../../observability/printable.js'
import { Disk } from '../../platform/disk.js'
import { surroundings } from '../../platform/environment.js'
import { writeNewFile } from '../../platform/new-file.js'
import { SystemClock } from '../../platform/system-clock.js'
import { ADMIN_HELP, ADMIN_OPTIONS, adminClient } from '../admin-access.js'
import { misused, readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'
import { configuredValues } from '../configured-values.js'
import { collect, type SupportBundle } from '../support/collect.js'
import { tarOf } from '../support/tar.js'
import { styleFor } from '../terminal/style.js'
import { table } from '../terminal/table.js'

const OPTIONS = { ...ADMIN_OPTIONS, yes: { type: 'boolean' } } as const
/** Timeout of all requests to the agent. */
const PATIENCE_MS = 30_000

/** Collects information about an agent for support in one file. */
export const supportBundle: Command = {
  help: `Usage: icp-agent support-bundle [FILE] [--yes]

Collects in one tar file what support needs to know about this agent: settings, status, workloads, entries,
denials, metrics, the last log lines, versions, and a description of the machine. Secrets are redacted. The
command lists the content before it writes. If the agent does not run, the file has the rest and says what
is missing. FILE must not exist, and gets mode 0600; default: icp-agent-support-TIME.tar in this directory.

Options:
  --yes                 write without asking; needed if there is no terminal
${ADMIN_HELP}

Exit codes: 0 written, perhaps with parts missing; 1 not written; 2 wrong usage.

Example:
  sudo icp-agent support-bundle /tmp/icp-agent.tar
`,
  async run(args, io) {
    const { options, positionals } = readArguments(args, OPTIONS, 1)
    if (!options.yes && !io.confirm) throw misused('there is no terminal to ask on; --yes writes without asking')
    const clock = new SystemClock()
    const at = clock.now()
    const named = positionals[0] ?? `icp-agent-support-${new Date(at).toISOString().replace(/[-:]|\.\d+/g, '')}.tar`
    const path = resolve(named)
    const bundle = await read(options, clock, io)
    show(bundle, path, io)
    if (!options.yes && !(await io.confirm?.('Write it?', io.signal))) {
      io.stderr.write('Nothing was written.\n')
      return 1
    }
    writeNewFile(path, tarOf([...bundle.files, overview(bundle, at)], at))
    io.stdout.write(`${printable(path)}\n`)
    return 0
  },
}

async function read(
  options: Parameters<typeof adminClient>[0],
  clock: SystemClock,
  io: CommandIo,
): Promise<SupportBundle> {
  using client = await adminClient(options, io)
  const settings = async () => {
    const files = new Disk()
    const place = await configPath(options.config, files)
    return (await loadConfig({ ...place, ...surroundings(io.env), files })).settings
  }
  const values = async () => Object.values(await configuredValues(options.config, io))
  const late = () => new AgentError('admin.unreachable', `the agent did not answer within ${PATIENCE_MS / 1000} s`)
  return await withDeadline(clock, { ms: PATIENCE_MS, late }, io.signal, (signal) =>
    collect({ settings, values, client: async () => client, clock, signal }, io.signal),
  )
}

function show({ files, missing }: SupportBundle, path: string, io: CommandIo): void {
  const { bold, yellow, dim } = styleFor(io.stderr, io.env)
  const rows = files.map(({ name, summary, content }) => [name, `${Math.ceil(content.length / 1024)} KiB`, summary])
  io.stderr.write(`${bold(printable(path))} will hold, mode 0600:\n`)
  io.stderr.write(table([{}, { paint: dim }, {}], rows))
  if (missing.length > 0) {
    io.stderr.write(`${yellow('It lacks')}:\n`)
    io.stderr.write(
      table(
        [{}, {}],
        missing.map(({ name, reason }) => [name, reason]),
      ),
    )
  }
  io.stderr.write(
    'Keys, tokens and passwords of the agent are not in it. Names are: of programs, users, containers, pods,\nlabels and SPIFFE IDs. Look at it before you give it away.\n',
  )
}

function overview({ files, missing }: SupportBundle, at: number) {
  const lines = [
    `Support bundle of icp-agent, ${new Date(at).toISOString()}`,
    '',
    ...files.map(({ name, summary }) => `${name}: ${summary}`),
    ...missing.map(({ name, reason }) => `${name}: missing: ${reason}`),
  ]
  return { name: 'README.txt', content: Buffer.from(`${lines.map(printable).join('\n')}\n`) }
}
