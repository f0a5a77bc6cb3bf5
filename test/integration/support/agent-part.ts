import type { AgentError } from '../../../agent/errors.js'
import { callerEvents } from '../../../agent/observability/caller-events.js'
import type { Sinks } from '../../../agent/observability/events.js'
import { fileEvents } from '../../../agent/observability/file-events.js'
import { createLinuxKernel, type LinuxKernelOptions } from '../../../agent/platform/linux-kernel.js'
import { socketDirectory } from '../../../agent/platform/socket-directory.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { readVersioned } from '../../../agent/platform/versioned-file.js'
import { ConnectionRegistry } from '../../../agent/workload-api/connections.js'
import { Workload } from '../../../agent/workload-api/workload.js'
import { Workloads } from '../../../agent/workload-api/workloads.js'
import { Accounts } from '../../../attestors/unix/accounts.js'
import { ExecutableDigests } from '../../../attestors/unix/executable.js'
import { UnixWorkloadAttestor } from '../../../attestors/unix/workload.js'
import { fairnessWith } from '../../fakes/fairness.js'
import { nobody, workloadContext } from '../../fakes/workload.js'
import { listen } from './listen.js'

/** One connection as the agent sees it: a workload, or why there is none. */
export type Seen = { readonly workload: Workload } | { readonly error: AgentError }

/** What of the agent decides who is calling: socket, kernel, attestation by the unix attestor. All of it is real. */
export async function startAgentPart(
  socketPath: string,
  sinks: Sinks,
  seen: (connection: Seen) => void,
  options: LinuxKernelOptions & { readonly admit?: () => Promise<void> } = {},
) {
  const clock = new SystemClock()
  const events = callerEvents(sinks, clock)
  const kernel = createLinuxKernel({ exitPollMs: 20, ...options })
  const digests = new ExecutableDigests({ clock, events, maxBytes: 1_000_000_000, stallMs: 200 })
  const attestor = new UnixWorkloadAttestor({
    kernel,
    accounts: new Accounts({
      read: readVersioned,
      clock,
      fileEvents: fileEvents(sinks.log, clock),
      root: kernel.host.root,
    }),
    digests,
    digestWanted: () => true,
    forgeable: false,
  })
  const workloads = new Workloads(
    workloadContext({
      attestors: [attestor],
      kernel,
      clock,
      random: { fraction: () => 0 },
      events,
      deadlineMs: 10_000,
    }),
  )
  const limits = { connections: 100, connectionsPerSubject: 100, connectionsPerPid: 100, idleConnectionMs: 60_000 }
  // Connections are attested when the test says so; until then their workload only stands for the caller.
  const connections = new ConnectionRegistry(limits, clock, {
    acquire: (caller) => {
      const standIn = new Workload(caller, caller.process.key, workloadContext({ clock }), nobody)
      standIn.hold()
      return standIn
    },
  })
  const listener = await listen({
    socketPath,
    directory: socketDirectory,
    kernel,
    connections,
    subjectOf: (caller) => String(caller.uid),
    clock,
    events,
    fairness: fairnessWith(clock),
    onConnection: ({ caller, socket }) => {
      socket.resume()
      if ('error' in caller) {
        seen(caller)
        return
      }
      const admitted = options.admit?.() ?? Promise.resolve()
      void admitted.then(() => {
        const workload = workloads.acquire(caller)
        socket.once('close', () => workload.release())
        seen({ workload })
      })
    },
  })
  return {
    connections,
    workloads,
    digests,
    async [Symbol.asyncDispose]() {
      await listener[Symbol.asyncDispose]()
      workloads[Symbol.dispose]()
      digests[Symbol.dispose]()
      kernel[Symbol.dispose]()
    },
  }
}

/** Waits until it is known what the workload is; `failed` counts as known. */
export async function settled(workload: Workload): Promise<void> {
  if (workload.state.kind !== 'pending') return
  await new Promise<void>((resolve) => {
    const watch = workload.subscribe(() => {
      if (workload.state.kind === 'pending') return
      watch[Symbol.dispose]()
      resolve()
    })
  })
}

/** The selectors, or the code of the failure. */
export function outcomeOf(seen: Seen): Record<string, string> | string {
  if ('error' in seen) return seen.error.code
  const { state } = seen.workload
  if (state.kind === 'attested') return Object.fromEntries(state.selectors)
  return state.kind === 'failed' ? state.error.code : state.kind
}
