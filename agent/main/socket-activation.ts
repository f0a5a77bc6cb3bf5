/** The first descriptor that systemd hands over (sd_listen_fds). */
export const FIRST_SOCKET = 3

/**
 * The listening socket that systemd holds for us, or null where there is none. The variables speak of one process
 * only: a child that inherited them is not meant.
 */
export function inheritedSocket(env: Readonly<Record<string, string | undefined>>, pid: number): number | null {
  if (env['LISTEN_PID'] !== String(pid)) return null
  return Number(env['LISTEN_FDS']) >= 1 ? FIRST_SOCKET : null
}
