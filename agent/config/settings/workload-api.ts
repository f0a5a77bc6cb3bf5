import { bool, choice, duration, integer, setting, size } from '../setting.js'

export const workloadApiSettings = {
  'workload_api.max_identities': setting(integer(1, 1024), {
    kind: 'whole number',
    default: '64',
    reload: 'live',
    what: 'The most identities that a workload gets, oldest entries first.',
  }),
  'workload_api.hold': setting(duration('0s', '30s'), {
    kind: 'duration',
    default: '4s',
    reload: 'live',
    what: 'How long a first call is held while its SVID is not there yet, before it is refused.',
  }),
  'workload_api.allow_unauthenticated_verifiers': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'live',
    what: 'Callers without an identity may fetch bundles and validate JWT-SVIDs.',
  }),
  'workload_api.limits.connections': setting(integer(1, 1_000_000), {
    kind: 'whole number',
    default: '4096',
    reload: 'live',
    what: 'Open connections in total. Each takes two file descriptors, one of gRPC for Java four.',
  }),
  'workload_api.limits.connections_per_subject': setting(integer(1, 1_000_000), {
    kind: 'whole number',
    default: '512',
    reload: 'live',
    what: 'Open connections of one container, or of one user outside containers.',
  }),
  'workload_api.limits.connections_per_pid': setting(integer(1, 1_000_000), {
    kind: 'whole number',
    default: '64',
    reload: 'live',
    what: 'Open connections of one process.',
  }),
  'workload_api.limits.connections_per_second': setting(integer(1, 1_000_000), {
    kind: 'whole number',
    default: '50',
    reload: 'live',
    what: 'New connections per second of one container, or of one user outside containers, while others use the socket too; of one process half as many.',
  }),
  'workload_api.limits.connection_burst': setting(integer(1, 1_000_000), {
    kind: 'whole number',
    default: '1000',
    reload: 'live',
    what: 'Burst of new connections above that rate.',
  }),
  'workload_api.limits.calls_per_second': setting(integer(1, 1_000_000), {
    kind: 'whole number',
    default: '250',
    reload: 'live',
    what: 'Calls per second of one container, or of one user outside containers, while others use the socket too; of one process half as many.',
  }),
  'workload_api.limits.call_burst': setting(integer(1, 1_000_000), {
    kind: 'whole number',
    default: '2000',
    reload: 'live',
    what: 'Burst of calls above that rate, and the most calls of one container or user that may wait.',
  }),
  'workload_api.limits.streams_per_connection': setting(integer(1, 10_000), {
    kind: 'whole number',
    default: '100',
    reload: 'restart',
    what: 'Open calls on one connection.',
  }),
  'workload_api.limits.max_message_size': setting(size(1024, 4 * 1024 ** 2), {
    kind: 'size',
    default: '64KiB',
    reload: 'restart',
    what: 'Largest message that the agent accepts from a workload.',
  }),
  'workload_api.limits.idle_connection': setting(duration('1s', '1d'), {
    kind: 'duration',
    default: '60s',
    reload: 'live',
    what: 'A connection without a call for so long is closed.',
  }),
  'workload_api.limits.stalled_stream': setting(duration('1s', '1d'), {
    kind: 'duration',
    default: '30s',
    reload: 'live',
    what: 'A stream whose client does not read for so long is closed.',
  }),
  'jwt.validation': setting(choice(['auto', 'local', 'server']), {
    kind: '`auto`, `local`, `server`',
    default: 'auto',
    reload: 'live',
    what: 'Who validates JWT-SVIDs. `auto`: the agent for tokens of trust domains that it serves, the server for others and for tokens of delegation or of AI agents.',
  }),
}
