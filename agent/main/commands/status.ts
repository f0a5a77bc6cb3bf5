import type { AdminClient } from '../../admin/client.js'
import type { AnswerOf, ListRoute } from '../../admin/route.js'
import { bundles } from '../../admin/routes/bundles.js'
import { denial } from '../../admin/routes/denial.js'
import { denials } from '../../admin/routes/denials.js'
import { entries } from '../../admin/routes/entries.js'
import { type StatusAnswer, status as statusRoute } from '../../admin/routes/status.js'
import { workloads } from '../../admin/routes/workloads.js'
import { AgentError, codeOf, messageOf } from '../../errors.js'
import { printable } from '../../observability/printable.js'
import { SystemClock } from '../../platform/system-clock.js'
import { ADMIN_HELP, ADMIN_OPTIONS, adminClient } from '../admin-access.js'
import { choice, duration, misused, quoted, readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'
import { bundleLines, denialLines, denialText, entryLines, workloadLines } from '../status/lists.js'
import { statusScreen } from '../status/screen.js'
import type { TextView } from '../status/view.js'
import { FullScreen } from '../status/watch.js'
import { serveStatus } from '../status-page/serve-command.js'
import { styleFor } from '../terminal/style.js'
import { timeOfDay } from '../terminal/time.js'

const OPTIONS = {
  ...ADMIN_OPTIONS,
  output: { type: 'string', short: 'o' },
  watch: { type: 'boolean' },
  wait: { type: 'string' },
  timeout: { type: 'string' },
  serve: { type: 'boolean' },
} as const

const WATCH_MS = 2_000
const WAIT_LOOK_MS = 500
const WAITS = ['ready', 'healthy', 'served'] as const
const NOT_READY = 3

/** One output of the command: an answer, its lines for people, and the exit code. */
interface ShownAnswer {
  readonly answer: object
  lines(view: TextView): readonly string[]
  readonly code: number
}

/** Shows the status of a running agent. */
export const status: Command = {
  help: `Usage: icp-agent status [-o json] [--watch] [--wait ready|healthy|served]
       icp-agent status workloads|entries|denials|bundles [-o json] [--watch]
       icp-agent status denials ID [-o json]
       icp-agent status --serve [127.0.0.1:PORT]

Shows the state of the agent on this machine: health with reasons, the ICP server, the agent's own SVID,
entries by state, platforms, the last changes and the last denials. With a word: the connected workloads
and their SVIDs; the entries, and why one has no SVID; the last denials, or one denial in full; the
bundles. Only root and the agent's own user may ask.

Options:
  -o, --output FORMAT   pretty (default) or json
  --watch               repeat every 2 s, until Ctrl-C; with -o json one line each time
  --wait STATE          wait until the agent is ready, healthy, or serves: at least one connected workload
                        has its SVID, and none waits for one (served); then show the state
  --timeout DURATION    how long --wait waits; default 60s
  --serve               serve all of it as a page for a browser on this machine, until Ctrl-C; the printed
                        address works once. Default: a free port of 127.0.0.1
${ADMIN_HELP}

Exit codes: 0 the agent is ready, or the state of --wait was reached; 1 the agent cannot be asked, or there
is no such denial; 2 wrong usage; 3 the agent is not ready, or the state of --wait was not reached in time.

Example:
  sudo icp-agent status --wait served --timeout 2m && sudo icp-agent status workloads
`,
  async run(args, io) {
    const { options, positionals } = readArguments(args, OPTIONS, 2)
    const { output, watch: watched, wait: waited, timeout } = options
    if (options.serve) {
      if (output ?? watched ?? waited ?? timeout) throw misused('--serve goes with no other form of showing it')
      using client = await adminClient(options, io)
      return await serveStatus(client, positionals, io)
    }
    const json = choice(options.output, ['pretty', 'json'], '--output') === 'json'
    const ask = question(positionals)
    const wait = options.wait === undefined ? null : choice(options.wait, WAITS, '--wait')
    if (wait !== null && (positionals.length > 0 || options.watch)) throw misused('--wait goes with `status` alone')
    if (options.timeout !== undefined && wait === null) throw misused('--timeout goes with --wait')
    const timeoutMs = duration(options.timeout, 60_000, '--timeout')
    using client = await adminClient(options, io)
    if (options.watch) return await watch(client, ask, json, io)
    try {
      const { answer, lines, code } = await (wait === null
        ? ask(client, io.signal)
        : reached(client, wait, timeoutMs, io.signal))
      io.stdout.write(json ? `${JSON.stringify(answer, null, 2)}\n` : textOf(lines(viewOf(io))))
      return code
    } catch (error) {
      // The awaited status was not reached, so a script must not continue.
      if (wait !== null && io.signal.aborted) return NOT_READY
      throw error
    }
  },
}

/** `most`: number of rows that fit. */
type Question = (client: AdminClient, signal: AbortSignal, most?: number) => Promise<ShownAnswer>

function question([what, id, ...rest]: readonly string[]): Question {
  if (what === undefined) return askStatus
  if (id !== undefined && (what !== 'denials' || rest.length > 0)) throw misused(`unexpected argument ${quoted(id)}`)
  if (id !== undefined) {
    const path = `/v1/denials/${encodeURIComponent(id)}`
    return async (client, signal) => shown(await client.get(denial.schema, path, signal), denialText)
  }
  const asked = LISTS.get(what)
  if (!asked) throw misused(`status shows workloads, entries, denials [ID] or bundles, not ${quoted(what)}`)
  return asked
}

function list<S extends ListRoute['schema']>(
  route: ListRoute<S>,
  lines: (answer: AnswerOf<S>, view: TextView) => readonly string[],
): Question {
  return async (client, signal, most) => shown(await client.list(route, signal, most), lines)
}

const LISTS: ReadonlyMap<string, Question> = new Map([
  ['workloads', list(workloads, workloadLines)],
  ['entries', list(entries, entryLines)],
  ['denials', list(denials, denialLines)],
  ['bundles', list(bundles, bundleLines)],
])

function shown<A extends object>(
  answer: A,
  lines: (answer: A, view: TextView) => readonly string[],
  code = 0,
): ShownAnswer {
  return { answer, lines: (view) => lines(answer, view), code }
}

async function askStatus(client: AdminClient, signal: AbortSignal): Promise<ShownAnswer> {
  const answer = await client.get(statusRoute.schema, statusRoute.path, signal)
  return shown(answer, statusScreen, answer.ready && answer.status !== 'unhealthy' ? 0 : NOT_READY)
}

/** Waits for the status, also for an agent that is not running yet, and shows it. Throws if the agent never answered. */
async function reached(
  client: AdminClient,
  wait: (typeof WAITS)[number],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ShownAnswer> {
  const clock = new SystemClock()
  const until = clock.monotonic() + timeoutMs
  for (;;) {
    const over = clock.monotonic() >= until
    try {
      const answer = await client.get(statusRoute.schema, statusRoute.path, signal)
      const so = await isSo(wait, answer, client, signal)
      if (so || over) return shown(answer, statusScreen, so ? 0 : NOT_READY)
    } catch (error) {
      if (over || codeOf(error) !== 'admin.unreachable') throw error
    }
    await clock.sleep(Math.max(0, Math.min(WAIT_LOOK_MS, until - clock.monotonic())), signal)
  }
}

async function isSo(
  wait: (typeof WAITS)[number],
  { ready, status }: StatusAnswer,
  client: AdminClient,
  signal: AbortSignal,
): Promise<boolean> {
  if (wait === 'healthy') return ready && status === 'healthy'
  if (wait === 'ready' || !ready) return ready
  const { rows } = await client.list(workloads, signal)
  return rows.some(({ state }) => state === 'served') && !rows.some(({ state }) => state === 'waiting')
}

/** Redraws until the signal; shows errors in between. */
async function watch(client: AdminClient, ask: Question, json: boolean, io: CommandIo): Promise<number> {
  const clock = new SystemClock()
  using screen = io.stdout.isTTY && !json ? new FullScreen(io.stdout) : null
  const { yellow } = styleFor(io.stdout, io.env)
  for (;;) {
    const lines = await oneLook(client, ask, json, io).catch((error: unknown) => {
      if (!(error instanceof AgentError)) throw error
      if (json) io.stderr.write(`${printable(messageOf(error))}\n`)
      return json ? [] : [yellow(`${timeOfDay(clock.now())}  ${printable(messageOf(error))}`)]
    })
    if (screen) screen.draw(lines)
    else io.stdout.write(textOf(lines))
    await clock.sleep(WATCH_MS, io.signal)
  }
}

async function oneLook(client: AdminClient, ask: Question, json: boolean, io: CommandIo): Promise<readonly string[]> {
  const view = viewOf(io)
  // Rows that do not fit are not requested.
  const most = json || !Number.isFinite(view.rows) ? undefined : Math.max(1, view.rows)
  const { answer, lines } = await ask(client, io.signal, most)
  return json ? [JSON.stringify(answer)] : lines(view)
}

function viewOf({ stdout, env }: CommandIo): TextView {
  const [columns, rows] = stdout.isTTY
    ? [stdout.columns ?? 80, stdout.rows ?? 24]
    : [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  return { columns, rows, style: styleFor(stdout, env) }
}

function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}
