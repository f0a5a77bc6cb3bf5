/** The first descriptor that systemd passes (sd_listen_fds). */
export const FIRST_SOCKET = 3

/**
 * The listening socket that systemd passes to this process, or null. The variables name one process, so a child that
 * inherits them must ignore them.
 */
export function inheritedSocket(env: Readonly<Record<string, string | undefined>>, pid: number): number | null {
  if (env['LISTEN_PID'] !== String(pid)) return null
  return Number(env['LISTEN_FDS']) >= 1 ? FIRST_SOCKET : null
}
