import { writeSync } from 'node:fs'
import { messageOf } from '../errors.js'
import { isClusterWorker } from '../platform/cluster-worker.js'
import { exitNow } from '../platform/exit-now.js'
import { loadLibc } from '../platform/koffi-libc.js'
import { FIRST_SOCKET, inheritedSocket } from './socket-activation.js'
import { weakeningOf } from './weakening.js'

/** Passes the names of removed variables to the replacing process. */
const MARK = 'ICP_AGENT_WITHOUT'
/** Passes their values on, for a program that the command runs. */
const WITHHELD = 'ICP_AGENT_WITHHELD'
const RUNS_PROGRAMS: readonly string[] = ['exec', 'files']
const MAX_SHOWN = 1_000

/**
 * Runs the command in a process that no variable weakens. Most such variables take effect before our first line, so if
 * there is one, the same program replaces this process (same pid, descriptors and arguments) without it. Refuses to run
 * with an open debugger. `sea`: a single executable, in which Node ignores NODE_OPTIONS.
 */
export async function start(
  load: () => Promise<typeof import('./process.js')>,
  { sea = false }: { readonly sea?: boolean } = {},
): Promise<void> {
  refuseDebugger()
  // Node itself removes this variable, and already listens through a parent process that may not exist.
  const worker = isClusterWorker() ? { NODE_UNIQUE_ID: '1' } : {}
  const { ignored, variables, nodeOptions } = weakeningOf({ ...process.env, ...worker })
  if (ignored.length > 0 || (sea && nodeOptions !== '')) {
    const withheld = [...variables, 'NODE_OPTIONS'].map((name) => [name, process.env[name]] as const)
    if (RUNS_PROGRAMS.includes(process.argv[2] ?? '')) {
      process.env[WITHHELD] = JSON.stringify(Object.fromEntries(withheld))
    }
    for (const [name] of withheld) delete process.env[name]
    if (ignored.length > 0) process.env[MARK] = ignored.join('; ').slice(0, MAX_SHOWN)
    if (nodeOptions !== '' && !sea) process.env['NODE_OPTIONS'] = nodeOptions
    takeMyPlace(sea && nodeOptions !== '' ? [`--node-options=${nodeOptions}`] : [], { sea, ignored })
  }
  const without = process.env[MARK]?.split('; ') ?? []
  const withheld = withheldBefore()
  delete process.env[WITHHELD]
  delete process.env[MARK]
  const { runProcess } = await load().catch((error: unknown) => {
    say(`the program cannot be loaded: ${messageOf(error)}; is it whole, and may the process open enough files?`)
    exitNow(1)
  })
  // A signal from before the first module may be handled only now.
  refuseDebugger()
  await runProcess(without, withheld)
}

/** Accepts the values only from the process that this one has replaced. */
function withheldBefore(): Readonly<Record<string, string>> {
  const text = process.env[MARK] === undefined ? undefined : process.env[WITHHELD]
  return text === undefined ? {} : (JSON.parse(text) as Record<string, string>)
}

function takeMyPlace(more: readonly string[], { sea, ignored }: { sea: boolean; ignored: readonly string[] }): never {
  const { argv, argv0, execArgv, execPath } = process
  const args = sea ? [argv0, ...more, ...argv.slice(2)] : [argv0, ...execArgv, ...argv.slice(1)]
  try {
    const socket = inheritedSocket(process.env, process.pid)
    const held = socket === null ? 0 : Number(process.env['LISTEN_FDS'])
    return loadLibc().execute(execPath, args, [0, 1, 2, ...Array.from({ length: held }, (_, i) => FIRST_SOCKET + i)])
  } catch (error) {
    const what = ignored.length > 0 ? ignored.join('; ') : 'NODE_OPTIONS'
    say(`cannot start without these variables (${messageOf(error)}); unset them for the agent: ${what}`)
    exitNow(2)
  }
}

/** Ends a process with an open debugger, through whose port any local user can run code in it, before it has secrets. */
function refuseDebugger(): void {
  const inspector = process.getBuiltinModule?.('node:inspector')
  if (inspector?.url() === undefined) return
  const opens = (text: string) => /--(?:inspect|debug)/.test(text.replaceAll('_', '-'))
  const named = opens(process.env['NODE_OPTIONS'] ?? '')
  const typed = process.execArgv.some(opens)
  if (named || typed) {
    const what = named ? 'the variable NODE_OPTIONS opens' : "Node's option --inspect opens"
    say(`${what} Node's debugger, through which every local user runs code in the agent; start it without --inspect`)
  } else {
    say("SIGUSR1 has opened Node's debugger before the agent began, and every local user could use it; start it again")
  }
  // Not through Node, which would wait for connected debuggers.
  exitNow(named || typed ? 2 : 1)
}

function say(text: string): void {
  writeSync(2, `error ${text}\n`)
}
