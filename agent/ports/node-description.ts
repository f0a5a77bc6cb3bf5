/** What is known of the machine: for `/status` and as evidence of a plain node. Read once at start. */
export interface NodeDescription {
  readonly hostname: string
  /** The user that the agent runs as; the uid in decimal where the database of users has no name for it. */
  readonly username: string
  /** `Debian GNU/Linux 12`; `linux` where nothing better is known. */
  readonly os: string
  readonly kernel: string
  /** `x64`, `arm64`. */
  readonly arch: string
  readonly cpus: number
  readonly memoryBytes: number
}
