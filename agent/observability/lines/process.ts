import { type LineTable, SPELL } from './spec.js'

/** The process: start and end, signals, the log itself, its files, health. */
export const PROCESS_LINES = {
  'Agent startup completed successfully': {
    level: 'info',
    lookFor: true,
    fields: { node_id: 'text', tenant_id: 'text', version: 'text' },
    means:
      'The socket listens and the entries are known, from the server or from the sealed cache. In the second case the node may not be attested yet.',
  },
  'Agent is stopping': {
    level: 'info',
    fields: {},
    means: 'SIGTERM, SIGINT or SIGQUIT was received, or a part of the agent failed.',
  },
  'Agent stopped': { level: 'info', fields: {}, means: 'The agent has stopped in order and exits with code 0.' },
  'Agent failed': {
    level: 'error',
    lookFor: true,
    fields: { error: 'error', 'remedy?': 'text' },
    means: 'The agent exits with code 1.',
    todo: 'Look up the code of `error` in [errors.md](errors.md); `remedy`, where there is one, says what to change.',
  },
  'Threads hang in a system call; the process is ended without them': {
    level: 'warning',
    fields: { threads: 'number' },
    means: 'When the agent stopped, a file system did not answer: that of an executable, of its data or of its log.',
    todo: 'Find the mount that hangs (`cat /proc/*/stack`, NFS, FUSE).',
  },
  'Audit log cannot be written': {
    level: 'warning, then debug',
    fields: { error: 'error' },
    means:
      'Records of the [audit log](audit.md) wait in memory, up to 4 MiB; then they are lost. With `audit.fail_closed` nothing new is granted.',
    todo: 'Free space on its disk, or correct what `error` names.',
  },
  'Audit log can be written again': {
    level: 'info',
    fields: SPELL,
    means: 'The records that waited in memory were written.',
  },
  'Telemetry is exported': {
    level: 'info',
    fields: { traces_to: 'text', metrics_to: 'text' },
    means: 'Traces or metrics go to these receivers, as the variables of [OpenTelemetry](opentelemetry.md) ask.',
  },
  'Variables of OpenTelemetry cannot be used': {
    level: 'warning',
    fields: { problems: 'texts' },
    means: 'The agent ignores them or uses a default.',
    todo: 'Correct the variables that `problems` names.',
  },
  'Telemetry cannot be exported': {
    level: 'warning, then debug',
    fields: { signal: 'text', error: 'error' },
    means: 'The receiver is unreachable or refuses; spans and metrics are dropped. Nothing else is affected.',
    todo: 'Correct what `error` names, or `OTEL_EXPORTER_OTLP_ENDPOINT`.',
  },
  'Telemetry can be exported again': {
    level: 'info',
    fields: { signal: 'text', ...SPELL },
    means: 'Spans and metrics from the time between are lost.',
  },
  'Configuration reloaded': {
    level: 'info',
    lookFor: true,
    fields: { changed: 'texts' },
    means:
      'After SIGHUP, `icp-agent reload` or a change of the watched file; `changed` names the settings with other values.',
  },
  'Changed settings wait for a restart of the agent': {
    level: 'warning',
    fields: { settings: 'texts' },
    means:
      'The configuration was reloaded, but these settings are read at the start alone; their old values are in force.',
    todo: 'Restart the agent when that suits.',
  },
  'Configuration cannot be reloaded; nothing was changed': {
    level: 'error',
    lookFor: true,
    fields: { problems: 'texts' },
    means: 'The previous configuration stays in force as a whole, and `/status` is degraded until a reload works.',
    todo: 'Correct what `problems` names, and reload again.',
  },
  'Log level set by an administrator': {
    level: 'info',
    fields: { level: 'text', seconds: 'number or null' },
    means: 'By `icp-agent log-level`; `seconds`: for how long, null until a reload or a restart.',
  },
  'Log level is the configured one again': {
    level: 'info',
    fields: { level: 'text' },
    means: 'The time of `icp-agent log-level --for` is over, or the configuration was reloaded.',
  },
  'Configuration warning': {
    level: 'warning',
    fields: { key: 'text', source: 'text', problem: 'text', remedy: 'text' },
    means: 'Something in the configuration has no effect or is risky.',
    todo: 'Do what `remedy` says.',
  },
  'Ignoring environment variables that would weaken the agent': {
    level: 'warning',
    fields: { variables: 'texts', remedy: 'text' },
    means:
      'The environment has variables that would weaken the agent; it ignores them ([decision 0004](decisions/0004-environment.md)).',
    todo: 'Unset them for the agent.',
  },
  'Executables of other users cannot be read: CAP_SYS_PTRACE is not in effect': {
    level: 'warning',
    fields: { consequence: 'text', remedy: 'text' },
    means: 'Workloads of other users get no `unix:path` and no `unix:sha256`, and containers may not be found.',
    todo: 'Give the agent CAP_SYS_PTRACE, as `remedy` says.',
  },
  'Processes of other users are hidden: /proc is mounted with hidepid': {
    level: 'warning',
    fields: { consequence: 'text', remedy: 'text' },
    means: 'Calls of other users fail with Unavailable, because the agent cannot see their processes.',
    todo: 'Give the agent CAP_SYS_PTRACE, or mount `/proc` with `gid=` of a group that the agent is in.',
  },
  'The limit of open files is too low for the configured connections': {
    level: 'warning',
    fields: { limit: 'number or null', connections: 'number', configured: 'number', remedy: 'text' },
    means:
      'The agent serves only `connections` connections at a time, so that callers never take the last descriptor. `/status` is degraded.',
    todo: 'Raise the limit of open files (`LimitNOFILE=65536`, `ulimit -n`), or lower `workload_api.limits.connections`.',
  },
  'Data directory tightened to 0700: others could look into it': {
    level: 'info',
    fields: { path: 'text', mode: 'text' },
    means: 'Logged at the start, with the previous mode: kubelets create the directory with 0755.',
  },
  'Data directory stays open to others': {
    level: 'warning',
    fields: { path: 'text', mode: 'text', reason: 'text' },
    means: "The socket lies in the data directory, or the directory holds something that is not the agent's.",
    todo: 'Give the agent a data directory of its own.',
  },
  'Data directory was replaced': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { error: 'error' },
    means:
      'While the agent runs, its data directory was removed, replaced or mounted over. The agent continues from memory, and `/status` is degraded.',
    todo: 'Restart the agent; put the old directory back first if its identity is to be kept.',
  },
  'Data directory is back': { level: 'info', fields: SPELL, ends: 'Data directory was replaced' },
  'The start waits for a disk that does not answer': {
    level: 'warning',
    lookFor: true,
    fields: { path: 'text', waits_for: 'text' },
    means: 'The volume or server of that directory hangs. Nothing is served until it answers.',
    todo: 'Check the volume or server of `path`, and the kernel log.',
  },
  'The disk answers; the start goes on': {
    level: 'info',
    fields: { path: 'text', after_seconds: 'number' },
    ends: 'The start waits for a disk that does not answer',
  },
  'The agent can read the join tokens of other nodes; delete their Secret once every node has joined': {
    level: 'warning',
    fields: { directory: 'text', others: 'number' },
    means:
      'The directory of join tokens holds those of other nodes too. An attacker on this node could join as one of them.',
    todo: 'Delete the Secret once every node has joined.',
  },
  'Service manager cannot be notified of the state of the agent': {
    level: 'warning',
    fields: { reason: 'text' },
    means: '`NOTIFY_SOCKET` is set, and nothing listens there.',
    todo: 'Start the agent by its unit, or unset `NOTIFY_SOCKET`.',
  },
  'Log reopened': {
    level: 'info',
    fields: { signal: 'text' },
    means: 'SIGHUP or SIGUSR2 was received. At SIGHUP the configuration is read again as well.',
  },
  'Ignoring a signal that the agent does not handle': {
    level: 'warning',
    fields: { signal: 'text' },
    means: 'By default this signal ends a process; the agent keeps running. Logged once for each signal.',
    todo: 'Use SIGTERM to stop the agent.',
  },
  'Log file cannot be opened; lines go to stdout only': {
    level: 'error',
    fields: { path: 'text', error: 'error' },
    means: 'Others can write to its directory, it is not a regular file, or the disk failed. The agent keeps running.',
    todo: 'Correct what `error` names, then send SIGHUP.',
  },
  'Log file cannot be reopened; still writing to the old one': {
    level: 'error',
    fields: { path: 'text', error: 'error' },
    means: 'After SIGHUP or SIGUSR2 the file could not be opened.',
    todo: 'Correct what `error` names, then send the signal again.',
  },
  'Log file cannot be written; lines go to stdout only': {
    level: 'error',
    fields: { path: 'text', error: 'error' },
    means: 'The disk is full or fails.',
    todo: 'Make room. The agent writes to the file again by itself.',
  },
  'Log file can be written again': {
    level: 'info',
    fields: { path: 'text', dropped_lines: 'number' },
    ends: 'Log file cannot be written; lines go to stdout only',
  },
  'Log lines were dropped: the reader of stdout was too slow': {
    level: 'warning',
    fields: { dropped_lines: 'number' },
    means: 'The buffer of 1 MiB was full. The line is written once stdout takes lines again.',
    todo: 'Check the reader of the log (journald, the container engine); raise `logging.level` if it is `debug`.',
  },
  'Health server started': {
    level: 'info',
    fields: { bind_address: 'text', port: 'number' },
    means: 'Health and metrics are served at this address.',
  },
  'Health server could not start; the agent goes on without it': {
    level: 'error',
    fields: { error: 'error' },
    means: 'The port is taken, or the address does not belong to this machine.',
    todo: 'Change `health.port` or `health.bind_address`, and restart the agent.',
  },
  'Health socket started': {
    level: 'info',
    fields: { path: 'text' },
    means: 'Health is served on this Unix socket too.',
  },
  'Health socket could not start; the agent goes on without it': {
    level: 'error',
    fields: { error: 'error' },
    means: 'Something other than a socket is at its path, or the disk failed.',
    todo: 'Remove what is there, and restart the agent.',
  },
  'Health is not served on a Unix socket': {
    level: 'warning',
    fields: { reason: 'text' },
    means:
      'Workloads mount the data directory, or the path of the socket is too long. A liveness probe on `health.sock` fails.',
    todo: 'Give the socket for workloads a directory of its own, or shorten `agent.data_dir`.',
  },
  'Health socket could not be removed': {
    level: 'debug',
    fields: { error: 'error' },
    means: 'The disk failed while the agent stopped. The next run replaces the socket.',
  },
  'Health endpoint failed': {
    level: 'error',
    fields: { 'path?': 'text', error: 'error' },
    means: 'A defect of the agent; the request was answered with 500.',
    todo: 'Report it, with the line.',
  },
  'Admin socket started': {
    level: 'info',
    fields: { path: 'text' },
    means: '`icp-agent status` and other commands can ask the agent here.',
  },
  'Admin socket could not start; the agent goes on without it': {
    level: 'error',
    fields: { error: 'error' },
    means:
      'Its directory is not safe or is that of the socket for workloads, another agent holds it, or the disk failed.',
    todo: 'Set `agent.admin_socket_path` to another path, or correct what `error` names, and restart the agent.',
  },
  'Admin socket could not be removed': {
    level: 'debug',
    fields: { error: 'error' },
    means: 'The disk failed while the agent stopped. The next run replaces the socket.',
  },
  'Administrator connected': {
    level: 'debug',
    fields: { pid: 'number', uid: 'number' },
    means: "Root or the agent's user has connected to the admin socket; once a connection.",
  },
  'Connection to the admin socket refused: neither root nor the user of the agent': {
    level: 'warning',
    fields: { pid: 'number or null', uid: 'number or null', 'suppressed?': 'number' },
    means: 'The permissions of the socket were widened, or another process passed a connection on.',
    todo: 'Restore mode 0600 of the socket and 0700 of its directory.',
  },
  'Admin request failed': {
    level: 'error',
    fields: { route: 'text', error: 'error' },
    means: 'A defect of the agent; the request was answered with 500.',
    todo: 'Report it, with the line.',
  },
  'Reread file cannot be used; its last good content stays in force': {
    level: 'warning, then debug',
    fields: { path: 'text', holder: 'text', error: 'error' },
    means:
      'A file that the agent reads again while it runs is missing, empty, cut off, unreadable, or holds no certificate or token. `holder` is the setting that names it.',
    todo: 'Write the file whole, best by renaming.',
  },
  'Bundles could not be written to files': {
    level: 'warning, then debug',
    fields: { path: 'text', error: 'error' },
    means:
      'The directory `outputs.bundle_dir` cannot be made or written to. What was written before stays; it is tried again.',
    todo: 'Correct its owner and mode, or free some space.',
  },
  'Bundles can be written to files again': {
    level: 'info',
    fields: { path: 'text', ...SPELL },
    ends: 'Bundles could not be written to files',
  },
  'Reread file can be used again': {
    level: 'info',
    fields: { path: 'text', holder: 'text', ...SPELL },
    ends: 'Reread file cannot be used; its last good content stays in force',
  },
} as const satisfies LineTable
