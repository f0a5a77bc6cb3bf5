/**
 * Every metric of the agent. Labels have few values; units are in the names. `npm run docs` makes the table of
 * docs/metrics.md from it.
 */
export const METRICS = {
  icp_agent_info: { kind: 'gauge', help: 'Always 1; the version of the agent.', labels: ['version'] },
  icp_agent_start_time_seconds: { kind: 'gauge', help: 'Unix time at which the agent started.', labels: [] },
  icp_agent_config_reloads_total: {
    kind: 'counter',
    help: 'Reloads of the configuration by result: success, failure.',
    labels: ['result'],
    fromZero: ['success', 'failure'].map((result) => ({ result })),
  },
  icp_agent_config_last_reload_successful: {
    kind: 'gauge',
    help: 'Whether the last reload of the configuration worked: 1, also before the first, or 0.',
    labels: [],
  },
  icp_agent_config_last_reload_success_timestamp_seconds: {
    kind: 'gauge',
    help: 'Unix time of the last reload that worked, or of the start.',
    labels: [],
  },
  icp_agent_agent_svid_expiry_seconds: {
    kind: 'gauge',
    help: "Seconds until the agent's own SVID expires; -1 while there is none that is valid.",
    labels: [],
  },
  icp_agent_agent_svid_state: {
    kind: 'gauge',
    help: "State of the agent's own SVID: 1 for the state it is in, 0 for the others.",
    labels: ['state'],
  },
  icp_agent_certificate_refusals_total: {
    kind: 'counter',
    help: 'Requests whose first client certificate the ICP server refused, by outcome: other_accepted, all_refused.',
    labels: ['outcome'],
  },
  icp_agent_node_attestations_total: { kind: 'counter', help: 'Node attestations by outcome.', labels: ['outcome'] },
  icp_agent_server_requests_total: {
    kind: 'counter',
    help: 'Requests to the ICP server by endpoint and outcome.',
    labels: ['endpoint', 'outcome'],
  },
  icp_agent_server_request_seconds: {
    kind: 'histogram',
    help: 'Duration of requests to the ICP server.',
    labels: ['endpoint'],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  },
  icp_agent_server_clock_skew_seconds: {
    kind: 'gauge',
    help: "How far the ICP server's clock is ahead; absent until it has answered.",
    labels: [],
  },
  icp_agent_audit_records_total: {
    kind: 'counter',
    help: 'Records of the audit log, by type.',
    labels: ['type'],
  },
  icp_agent_audit_bytes_total: { kind: 'counter', help: 'Bytes of the audit log.', labels: [] },
  icp_agent_audit_lost_total: {
    kind: 'counter',
    help: 'Records of the audit log that were lost because they could not be written.',
    labels: [],
    fromZero: [{}],
  },
  icp_agent_rate_limited_total: {
    kind: 'counter',
    help: 'Responses 429 from the ICP server, by tier.',
    labels: ['tier'],
    fromZero: ['bootstrap', 'standard', 'sensitive', 'none', 'service'].map((tier) => ({ tier })),
  },
  icp_agent_rate_limit_wait_seconds_total: {
    kind: 'counter',
    help: 'Time that jobs waited for a slot of the rate limiter.',
    labels: [],
  },
  icp_agent_sync_age_seconds: {
    kind: 'gauge',
    help: 'Seconds since the registration entries were last synced; -1 before the first time.',
    labels: [],
  },
  icp_agent_sync_interval_seconds: { kind: 'gauge', help: 'Interval of entry sync now in force.', labels: [] },
  icp_agent_entries: { kind: 'gauge', help: 'Registration entries known, by state.', labels: ['state'] },
  icp_agent_entries_unserved: {
    kind: 'gauge',
    help: 'Registration entries that a workload wanted within the last 35 minutes and that have no valid X.509-SVID, by state.',
    labels: ['state'],
  },
  icp_agent_svids: { kind: 'gauge', help: 'X.509-SVIDs held for workloads.', labels: [] },
  icp_agent_svid_soonest_expiry_seconds: {
    kind: 'gauge',
    help: 'Seconds until the first of the X.509-SVIDs expires that were used within an hour (or within their lifetime); -1 if there is none.',
    labels: [],
  },
  icp_agent_svid_expiry_seconds: {
    kind: 'gauge',
    help: 'Seconds until each X.509-SVID in use expires; only with metrics.spiffe_id_labels.',
    labels: ['spiffe_id'],
  },
  icp_agent_issuances_total: {
    kind: 'counter',
    help: 'Requests for SVIDs, by kind and outcome.',
    labels: ['kind', 'outcome'],
  },
  icp_agent_revocations_total: {
    kind: 'counter',
    help: 'Revocations of SVIDs of removed entries by outcome: revoked, or an error code.',
    labels: ['outcome'],
  },
  icp_agent_issuance_seconds: {
    kind: 'histogram',
    help: 'Time from the start of issuance to the verified SVID.',
    labels: ['kind'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  },
  icp_agent_attestations_total: { kind: 'counter', help: 'Workload attestations by outcome.', labels: ['outcome'] },
  icp_agent_attestation_seconds: {
    kind: 'histogram',
    help: 'Duration of workload attestations.',
    labels: [],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 4],
  },
  icp_agent_kubernetes_pods: { kind: 'gauge', help: 'Pods known on this node.', labels: [] },
  icp_agent_kubernetes_sync_age_seconds: {
    kind: 'gauge',
    help: 'Seconds since changes of pods stopped arriving; 0 while they do, -1 before the first list.',
    labels: [],
  },
  icp_agent_kubernetes_requests_total: {
    kind: 'counter',
    help: 'Requests to the Kubernetes API or the kubelet, by endpoint and outcome.',
    labels: ['endpoint', 'outcome'],
  },
  icp_agent_connections: { kind: 'gauge', help: 'Open connections on the Workload API socket.', labels: [] },
  icp_agent_connections_refused_total: {
    kind: 'counter',
    help: 'Connections refused or dropped, by reason.',
    labels: ['reason'],
  },
  icp_agent_calls_turned_away_total: {
    kind: 'counter',
    help: 'Calls above the rate limits; each closes its connection; by reason.',
    labels: ['reason'],
  },
  icp_agent_streams: { kind: 'gauge', help: 'Open Workload API streams by method.', labels: ['method'] },
  icp_agent_calls_total: {
    kind: 'counter',
    help: 'Workload API calls ended, by method and gRPC status.',
    labels: ['method', 'status'],
  },
  icp_agent_calls_begun_total: {
    kind: 'counter',
    help: 'Calls of identified callers begun, also those refused at once, by gRPC service.',
    labels: ['service'],
    fromZero: ['SpiffeWorkloadAPI', 'spiffe.workload.SpiffeWorkloadAPI'].map((service) => ({ service })),
  },
  icp_agent_pushes_total: {
    kind: 'counter',
    help: 'Messages sent on Workload API streams by method.',
    labels: ['method'],
  },
  icp_agent_first_message_seconds: {
    kind: 'histogram',
    help: 'Time from call to first message.',
    labels: ['method'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 4],
  },
  icp_agent_denials_total: {
    kind: 'counter',
    help: 'Calls refused, by reason (an error code).',
    labels: ['reason'],
    fromZero: [{ reason: 'entry.none' }, { reason: 'audit.unavailable' }],
  },
  icp_agent_admin_connections: { kind: 'gauge', help: 'Open connections on the admin socket.', labels: [] },
  icp_agent_admin_connections_refused_total: {
    kind: 'counter',
    help: 'Connections to the admin socket that were closed, by reason.',
    labels: ['reason'],
    fromZero: [{ reason: 'user' }, { reason: 'limit' }],
  },
  icp_agent_admin_requests_total: {
    kind: 'counter',
    help: 'Requests on the admin socket, by route and HTTP status code.',
    labels: ['route', 'code'],
  },
  icp_agent_sds_rejected_total: {
    kind: 'counter',
    help: 'Responses of the Secret Discovery Service that the client did not accept.',
    labels: ['method'],
    fromZero: [{ method: 'StreamSecrets' }, { method: 'DeltaSecrets' }],
  },
} as const satisfies Record<string, MetricSpec>

export interface MetricSpec {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  readonly buckets?: readonly number[]
  /** Series that alerts use: a counter that appears with its first event has no rate at that event. */
  readonly fromZero?: readonly Readonly<Record<string, string>>[]
}

export type MetricName = keyof typeof METRICS
type LabelsOf<N extends MetricName> = (typeof METRICS)[N]['labels'][number]
type LabelsFor<N extends MetricName> = [LabelsOf<N>] extends [never] ? undefined : Readonly<Record<LabelsOf<N>, string>>
export type OfKind<K extends MetricSpec['kind']> = {
  [N in MetricName]: (typeof METRICS)[N]['kind'] extends K ? N : never
}[MetricName]

/** Labels of any metric, as a sink sees them. */
export type LabelValues = Readonly<Record<string, string>>

/** Reads the values of a gauge, whatever its labels. */
export type GaugeReader = () => readonly { readonly value: number; readonly labels?: LabelValues | undefined }[]

/** `count` and `observe` take labels, then a number; both may be missing. */
export function labelsAndNumber(rest: readonly (LabelValues | number | undefined)[]): {
  readonly labels: LabelValues
  readonly number: number | undefined
} {
  return {
    labels: rest.find((part) => typeof part === 'object') ?? {},
    number: rest.find((part) => typeof part === 'number'),
  }
}

/** The sink of metrics. */
export interface Metrics {
  count<N extends OfKind<'counter'>>(
    name: N,
    ...rest: LabelsFor<N> extends undefined ? [by?: number] : [labels: LabelsFor<N>, by?: number]
  ): void
  observe<N extends OfKind<'histogram'>>(
    name: N,
    value: number,
    ...rest: LabelsFor<N> extends undefined ? [] : [labels: LabelsFor<N>]
  ): void
  /** A gauge is read at each scrape: `read` returns one value per label set, and omitted label sets disappear. */
  gauge<N extends OfKind<'gauge'>>(name: N, read: () => readonly GaugeValue<N>[]): Disposable
}

export interface GaugeValue<N extends MetricName> {
  readonly value: number
  readonly labels?: LabelsFor<N>
}
