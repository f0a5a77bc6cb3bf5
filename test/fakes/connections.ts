import { Socket } from 'node:net'
import type { Caller } from '../../agent/attestation/caller.js'
import type { AgentError } from '../../agent/errors.js'
import type { Clock } from '../../agent/ports/clock.js'
import { type CloseReason, Connection, type Quota } from '../../agent/workload-api/connection.js'
import { type ConnectionLimits, ConnectionRegistry } from '../../agent/workload-api/connections.js'
import type { Workload } from '../../agent/workload-api/workload.js'
import { FakeClock } from './clock.js'
import { accountOf, fairnessWith } from './fairness.js'

const PLENTY: ConnectionLimits = {
  connections: 10_000,
  connectionsPerSubject: 10_000,
  connectionsPerPid: 10_000,
  idleConnectionMs: 3_600_000,
}

/** A registry whose callers have the workload that the test gives, and limits that nobody reaches unless told otherwise. */
export function registryWith(
  clock: Clock,
  acquire: (caller: Caller) => Workload,
  limits: Partial<ConnectionLimits> = {},
): ConnectionRegistry {
  return new ConnectionRegistry({ ...PLENTY, ...limits }, clock, { acquire })
}

/** A connection without a client. */
export function connectionOf(
  id: string,
  caller: Caller | { readonly error: AgentError },
  {
    quota,
    onClose = () => undefined,
    fairness = fairnessWith(new FakeClock()),
  }: {
    readonly quota?: Quota
    readonly onClose?: (reason: CloseReason) => void
    readonly fairness?: Parameters<typeof accountOf>[0]
  } = {},
): Connection {
  const account = accountOf(fairness)
  return new Connection({
    id,
    caller,
    account: account.account,
    quota: quota ?? account.quota,
    socket: new Socket(),
    onClose: (_connection, reason) => onClose(reason),
  })
}
