import { type ChildProcess, spawn } from 'node:child_process'
import type { Ledger } from './ledger.js'
import type { Programs } from './programs.js'
import type { WorkloadOrder, WorkloadReport, WorkloadSettings } from './reports.js'

export interface WorkloadProcessOptions {
  readonly name: string
  readonly programs: Programs
  /** Null: the user of the driver. */
  readonly uid: number | null
  readonly settings: Omit<WorkloadSettings, 'offset'>
  readonly ledger: Ledger
  readonly offset: () => number
}

/** One workload: a process of its own, under its own user, that keeps a stream open and checks what comes. */
export class WorkloadProcess {
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  #expected = false

  constructor(private readonly options: WorkloadProcessOptions) {
    const { name, programs, uid, settings, ledger, offset } = options
    const argument: WorkloadSettings = { ...settings, offset: offset() }
    this.#child = spawn(process.execPath, ['--max-old-space-size=64', programs.workload, JSON.stringify(argument)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: {},
      cwd: '/',
      ...(uid === null ? {} : { uid, gid: uid }),
    })
    ledger.began(name, Date.now())
    this.#child.on('message', (report) => ledger.reported(name, report as WorkloadReport))
    this.#child.stderr?.on('data', (chunk: Buffer) => ledger.violation(`${name}: ${chunk}`, Date.now()))
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        if (!this.#expected) ledger.violation(`${name} ended by itself (${signal ?? code})`, Date.now())
        resolve()
      })
    })
  }

  get uid(): number | null {
    return this.options.uid
  }

  clockChanged(): void {
    const order: WorkloadOrder = { offset: this.options.offset() }
    if (this.#child.connected) this.#child.send(order, () => undefined)
  }

  async kill(): Promise<void> {
    this.#expected = true
    this.options.ledger.ended(this.options.name, Date.now())
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
