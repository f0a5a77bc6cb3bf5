import { addressOf } from '../client/address.js'
import type { Retry } from '../client/watch.js'
import type { WorkloadApiClient } from '../client/workload-api-client.js'
import { AgentError, codeOf } from '../errors.js'
import type { FilePlan } from '../files/file-plan.js'
import { type HelperConfig, readHelperConfig } from '../files/helper-config.js'
import { keepFiles } from '../files/keep-files.js'
import { FileComposer, type Received } from '../files/output-files.js'
import type { Choice } from '../files/pick-identity.js'
import { ReceivedParts, retryText } from '../files/received-parts.js'
import { iso } from '../lib/time.js'
import { printable } from '../observability/printable.js'
import { DiskGenerations } from '../platform/disk-generations.js'
import type { Clock } from '../ports/clock.js'
import { openClient } from './api-client.js'
import { choice, duration, misused } from './arguments.js'
import type { CommandIo } from './command.js'
import { type FileOptions, filePlan, identityChoice, ownership } from './file-options.js'
import { namedFile } from './named-file.js'

/** The parsed options. */
export interface FileTask {
  readonly plan: FilePlan
  readonly directory: string
  readonly identity: Choice
  readonly owner: number | null
  readonly group: number | null
  readonly switching: 'symlink' | 'rename'
  readonly shared: boolean
  /** How long to wait for the first identity; null: for ever. */
  readonly waitMs: number | null
  readonly socket: string | undefined
  readonly dialect: string | undefined
}

export interface Keeping {
  readonly io: Pick<CommandIo, 'env' | 'stderr'>
  readonly signal: AbortSignal
  readonly once: boolean
  readonly tell: (text: string) => void
  readonly written: (
    received: Received,
    outcome: { readonly first: boolean; readonly changed: boolean },
  ) => Promise<void>
}

/** How long a replaced generation is kept for programs that have its directory open. */
const GRACE_MS = 10_000
const MAX_HELPER_CONFIG = 256 * 1024
const SELECTOR_HINT =
  'The agent sees icp-agent as the workload here: register it by user, systemd unit or container, not by path or digest.'

/** Throws `command.misused`, `file.io`. */
export async function fileTask(options: FileOptions, helper: HelperConfig | null): Promise<FileTask> {
  const directory = options.dir ?? helper?.directory
  if (directory === undefined) throw misused('--dir is missing: name the directory that the files go into')
  return {
    plan: helper ? helper.plan : await filePlan(options),
    directory,
    identity: identityChoice(helper?.hint ? { hint: helper.hint, ...options } : options),
    ...ownership(options),
    switching: choice(options.switch, ['symlink', 'rename'], '--switch'),
    shared: options['shared-dir'] ?? false,
    waitMs: options.wait === undefined ? null : duration(options.wait, 0, '--wait'),
    socket: options.socket ?? helper?.agentAddress ?? undefined,
    dialect: options.dialect,
  }
}

/** Throws `command.misused`, `config.invalid`, `file.io`. */
export async function helperConfig(path: string | undefined): Promise<HelperConfig | null> {
  if (path === undefined) return null
  const content = await namedFile(path, MAX_HELPER_CONFIG, '--helper-config')
  return readHelperConfig(content.toString('utf8'), path)
}

/** An open client and its address. */
export interface OpenFiles extends Disposable {
  readonly address: string
  readonly clock: Clock
  /** Keeps the files up to date until the signal aborts, or writes them once. Throws permanent errors, and `client.timeout`. */
  keep(keeping: Keeping): Promise<void>
}

/** Throws `command.misused`, `client.address_invalid`. */
export async function openFiles(task: FileTask, { io, tell }: Pick<Keeping, 'io' | 'tell'>): Promise<OpenFiles> {
  let failure: AgentError | null = null
  let hinted = false
  const onRetry = (retry: Retry) => {
    failure = retry.error
    tell(retryText(retry))
    if (codeOf(retry.error) === 'client.denied' && !hinted) tell(SELECTOR_HINT)
    hinted ||= codeOf(retry.error) === 'client.denied'
  }
  const given = { ...(task.socket === undefined ? {} : { socket: task.socket }) }
  const dialect = task.dialect === undefined ? {} : { dialect: task.dialect }
  const { client, clock } = await openClient({ ...given, ...dialect }, { ...silent(io), signal: never() }, onRetry)
  return {
    address: addressOf(client.endpoint),
    clock,
    keep: (keeping) => keep(task, { client, clock, onRetry, keeping, failure: () => failure }),
    [Symbol.dispose]: () => client.close(),
  }
}

interface KeepParts {
  readonly client: WorkloadApiClient
  readonly clock: Clock
  readonly onRetry: (retry: Retry) => void
  readonly keeping: Keeping
  readonly failure: () => AgentError | null
}

async function keep(task: FileTask, { client, clock, onRetry, keeping, failure }: KeepParts): Promise<void> {
  const { plan, identity, waitMs } = task
  const { once, tell } = keeping
  const late = new AbortController()
  const signal = AbortSignal.any([keeping.signal, late.signal])
  using waiting = waitMs === null ? null : clock.after(waitMs, () => late.abort())
  const graceMs = once ? 0 : GRACE_MS
  const { directory, switching, owner, group, shared } = task
  const now = () => clock.now()
  using generations = new DiskGenerations({ directory, switching, owner, group, shared, graceMs, now })
  await keepFiles({
    received: new ReceivedParts({ client, clock, plan, choice: identity, onRetry }).follow(signal),
    composer: new FileComposer(plan),
    generations,
    clock,
    signal,
    once,
    graceMs,
    written: async (received, outcome) => {
      waiting?.[Symbol.dispose]()
      await keeping.written(received, outcome)
    },
    failed: (error, delayMs) => tell(failureText(error, delayMs)),
  })
  if (late.signal.aborted && !keeping.signal.aborted) throw timeout(waitMs ?? 0, failure())
}

function failureText({ message, code }: AgentError, delayMs: number): string {
  return `${message} [${code}]${delayMs === 0 ? '' : `; again in ${delayMs / 1000} s`}`
}

function timeout(ms: number, failure: AgentError | null): AgentError {
  if (failure) return failure
  return new AgentError('client.timeout', `the agent gave no identity within ${ms / 1000} s`)
}

/** Describes the content of a generation. */
export function writtenText({ x509, tokens }: Received): string {
  const of = x509
    ? [`${x509.held.svid.spiffeId.uri}, valid to ${iso(x509.held.svid.notAfter)}`]
    : [...tokens.values()].slice(0, 1).map(({ spiffeId }) => spiffeId.uri)
  return printable(of[0] ?? 'the keys of JWT-SVIDs')
}

function silent({ env, stderr }: Pick<CommandIo, 'env' | 'stderr'>) {
  return { env, stderr, stdout: stderr }
}

function never(): AbortSignal {
  return new AbortController().signal
}
