/** Whoever started the agent as a service and wants to know how it is (systemd's notify protocol). Never throws. */
export interface ServiceManager {
  /** It serves from now on. */
  ready(): void
  /** The agent reads its configuration again or reopens its log; `ready` ends that. */
  reloading(): void
  stopping(): void
  /** One line for `systemctl status`. */
  status(text: string): void
  /** Milliseconds within which a sign of life is expected again and again; null: none is. */
  readonly watchdogMs: number | null
  alive(): void
}
