/** The service manager, which is notified of the agent's state (systemd's notify protocol). Never throws. */
export interface ServiceManager {
  /** The agent serves from now on. */
  ready(): void
  /** The agent reloads its configuration or reopens its log, until `ready`. */
  reloading(): void
  stopping(): void
  /** One line for `systemctl status`. */
  status(text: string): void
  /** The watchdog interval in milliseconds; null: no watchdog. */
  readonly watchdogMs: number | null
  alive(): void
}
