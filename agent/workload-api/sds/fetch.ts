import { randomBytes } from 'node:crypto'
import { type StatusObject, status } from '@grpc/grpc-js'
import type { DiscoveryRequest } from '../../../proto/gen/envoy/discovery_pb.js'
import type { ApiEvents } from '../../observability/api-events.js'
import type { Clock } from '../../ports/clock.js'
import type { Decision, DecisionInput, Refusal } from '../decision.js'
import { decided } from '../entitled.js'
import { grpcError } from '../refusal.js'
import type { Identified, UnaryHandler } from '../service.js'
import type { StreamsOptions } from '../streams.js'
import type { Workload } from '../workload.js'
import { type Finding, findSecrets } from './find.js'
import { validationOf } from './node.js'
import { encodeState } from './protocols.js'
import { refusalOf, type SecretStreamOptions, svidsIn } from './secret-stream.js'
import type { SdsSecret } from './secrets.js'
import { wantedOf } from './subscription.js'

export interface FetchOptions extends Omit<SecretStreamOptions, 'workload' | 'apiEvents'> {
  readonly apiEvents: ApiEvents
  readonly clock: Clock
  readonly settings: Pick<StreamsOptions, 'holdMs' | 'allowUnauthenticatedVerifiers'>
  readonly stopping: () => boolean
}

/** FetchSecrets: the secrets of the names, held like a call of the Workload API while some are pending. */
export function fetchSecrets(options: FetchOptions): UnaryHandler<Identified> {
  const { apiEvents } = options
  return {
    unary: (call, respond, workload) => {
      const gone = new AbortController()
      call.on('cancelled', () => gone.abort(grpcError({ code: 'agent.stopping', message: 'the client is gone' })))
      fetch(call.request as DiscoveryRequest, workload, gone.signal, options).then(
        (message) => {
          apiEvents.unaryEnded('FetchSecrets', 'OK')
          respond(null, message)
        },
        (reason: unknown) => {
          const error = isStatus(reason) ? reason : failed(reason, apiEvents)
          apiEvents.unaryEnded('FetchSecrets', gone.signal.aborted ? 'CANCELLED' : status[error.code])
          respond(error)
        },
      )
    },
  }
}

async function fetch(
  request: DiscoveryRequest,
  workload: Workload,
  signal: AbortSignal,
  options: FetchOptions,
): Promise<Buffer> {
  const { apiEvents, clock, settings, stopping, snapshot, names, secrets } = options
  const { holdMs } = settings
  const wanted = wantedOf(request.resourceNames)
  const refused = refusalOf({ typeUrl: request.typeUrl, names: wanted.names })
  if (refused) throw grpcError(refused)
  const validation = request.node && validationOf(request.node) === 'plain' ? 'plain' : options.validation
  let found: readonly SdsSecret[] = []
  const decide = (input: DecisionInput): Decision => {
    const findings = findSecrets(wanted, {
      input,
      snapshot: snapshot(),
      names,
      secrets,
      validation,
      openToAll: settings.allowUnauthenticatedVerifiers,
      served: () => undefined,
    })
    found = [...findings.values()].flatMap((finding) => (finding.kind === 'found' ? finding.secrets : []))
    return decisionOf([...findings.values()], found.length > 0)
  }
  const method = 'FetchSecrets'
  await decided({ workload, method, clock, events: apiEvents, holdMs, stopping, signal, demand: true }, decide)
  const update = { secrets: found, removed: [] }
  const svids = svidsIn(update)
  if (svids.length > 0) apiEvents.servesX509(workload, svids)
  return encodeState(update, randomBytes(8).toString('hex'), 1)
}

/** Waits for pending secrets until the hold ends, then sends those that are available. */
function decisionOf(findings: readonly Finding[], some: boolean): Decision {
  const hold = findings.find((finding) => finding.kind === 'hold')
  if (hold) return hold
  if (some) return { kind: 'send', ids: [] }
  const refusal = findings.find((finding) => finding.kind === 'refuse')
  if (refusal) return refusal
  const never = findings.find((finding) => finding.kind === 'never')
  const why: Refusal = { code: 'request.invalid', message: never ? never.why : 'there is nothing to fetch' }
  return { kind: 'refuse', ...why }
}

function isStatus(reason: unknown): reason is Error & StatusObject {
  return reason instanceof Error && 'code' in reason && 'details' in reason && 'metadata' in reason
}

function failed(reason: unknown, events: ApiEvents): Error & StatusObject {
  events.handlerFailed('FetchSecrets', reason)
  return grpcError({ code: 'internal', message: 'the call failed within the agent; try again' })
}
