import { choice, duration, readArguments } from '../../agent/main/arguments.js'
import { reportError } from '../../agent/main/report-error.js'
import { count } from '../../agent/main/terminal/count.js'
import { styleFor } from '../../agent/main/terminal/style.js'
import { documentOf } from './document.js'
import type { DemoEvent } from './events.js'
import { narratorFor } from './narrator.js'
import { Stage } from './stage.js'
import { BEGINNING, isComplete, type Story, tell } from './story.js'

const HELP = `Usage: npm run demo -- [--once] [--json] [--seconds N] [--generation workspace|tenant]

Starts the embedded ICP server, an agent and a workload as three processes of this user, in a temporary directory, and
shows how the workload is attested, gets its SVIDs and sees them rotate. Ctrl-C ends the demo and leaves nothing behind.

Options:
  --once              end as soon as the workload holds verified SVIDs in both dialects
  --json              with --once: print one JSON document and nothing else (implies --once)
  --seconds N         end by itself after N seconds
  --generation NAME   of the ICP server: workspace (default; the node attests with a join token) or tenant

Exit codes: 0 the workload held verified SVIDs, 1 it did not, 2 misused.

Example:
  npm run demo -- --once --json
`
const OPTIONS = {
  once: { type: 'boolean' },
  json: { type: 'boolean' },
  seconds: { type: 'string' },
  generation: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

/** How long --once waits for the SVIDs. */
const ONCE_MS = 60_000

/** Runs the demo and resolves with its exit code. */
export async function demo(args: readonly string[]): Promise<number> {
  try {
    const { options } = readArguments(args, OPTIONS)
    if (options.help) {
      process.stdout.write(HELP)
      return 0
    }
    const generation = choice(options.generation, ['workspace', 'tenant'], '--generation')
    const once = options.once === true || options.json === true
    const limitMs = options.seconds === undefined && !once ? null : duration(options.seconds, ONCE_MS, '--seconds')
    const story = await play({ generation, once, quiet: options.json === true, limitMs })
    if (options.json) process.stdout.write(`${JSON.stringify(documentOf(story), null, process.stdout.isTTY ? 2 : 0)}\n`)
    // Interrupting a demo without a limit is not a failure.
    if (isComplete(story) || limitMs === null) return 0
    process.stderr.write(`The workload has not got its SVIDs${story.waiting ? `: ${story.waiting.text}` : ''}.\n`)
    return 1
  } catch (error) {
    return reportError(error, { env: process.env, stderr: process.stderr })
  }
}

interface Play {
  readonly generation: 'workspace' | 'tenant'
  readonly once: boolean
  readonly quiet: boolean
  /** Null: until it is interrupted. */
  readonly limitMs: number | null
}

async function play({ generation, once, quiet, limitMs }: Play): Promise<Story> {
  let story = BEGINNING
  let end: () => void = () => undefined
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const style = styleFor(process.stdout, process.env)
  using narrator = quiet ? null : narratorFor(process.stdout, style, Date.now)
  const onEvent = (event: DemoEvent) => {
    const before = story
    story = tell(story, event, Date.now())
    narrator?.tell(event, before, story)
    if (once && isComplete(story)) end()
  }
  const stage = new Stage(onEvent)
  using _signals = interruptions(end, () => stage.kill())
  const late = limitMs === null ? undefined : setTimeout(end, limitMs)
  try {
    const running = stage.open(generation).then(() => stage.failure())
    await Promise.race([running, ended])
  } finally {
    clearTimeout(late)
    narrator?.[Symbol.dispose]()
    await stage[Symbol.asyncDispose]()
  }
  if (!quiet) process.stdout.write(`${style.dim(summary(story))}\n`)
  return story
}

function summary(story: Story): string {
  const held = story.held.get('spiffe') ?? []
  const rotations = held.reduce((sum, { rotations: n }) => sum + n, 0)
  const seen = `${count(held.length, 'identity', 'identities')}, ${count(rotations, 'rotation')}`
  return `Seen: ${seen}. All processes have ended, and the temporary directory is gone.`
}

/** The first interruption ends the demo in order, the next one at once. A closed output counts as one too. */
function interruptions(first: () => void, again: () => void): Disposable {
  let times = 0
  const interrupted = () => (++times === 1 ? first() : again())
  const broken = () => first()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, interrupted)
  process.stdout.on('error', broken)
  return {
    [Symbol.dispose]: () => {
      for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(name, interrupted)
    },
  }
}
