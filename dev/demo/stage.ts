import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { agentEvent } from './agent-log.js'
import type { Child } from './child.js'
import type { DemoEvent, Generation } from './events.js'
import { type IcpServer, NODE_ID, startIcpServer } from './icp-server.js'
import { jsonLine, Processes } from './processes.js'
import type { WorkloadLine } from './workload-line.js'

const HERE = dirname(fileURLToPath(import.meta.url))
const ICP_AGENT = join(HERE, 'leash.js')
/** `DIR/run/agent.sock` must fit into the 107 bytes that the kernel has for it. */
const MAX_TEMP_PATH = 60

/**
 * The embedded ICP server, an agent and a workload: three processes in a temporary directory, as the user who runs the
 * demo. Disposing ends them in order and removes the directory.
 */
export class Stage implements AsyncDisposable {
  readonly #processes = new Processes()
  #directory = ''

  constructor(private readonly onEvent: (event: DemoEvent) => void) {}

  /** Resolves once the workload was started. Rejects when a part does not start; then, too, dispose the stage. */
  async open(generation: Generation): Promise<void> {
    const temporary = tmpdir().length > MAX_TEMP_PATH ? '/tmp' : tmpdir()
    this.#directory = await mkdtemp(join(temporary, 'icp-demo-'))
    // Others may reach the socket, as on a real node; what else is in here stays closed to them.
    await chmod(this.#directory, 0o711)
    const data = join(this.#directory, 'icp')
    const server = await startIcpServer(this.#processes, ICP_AGENT, data, generation, this.onEvent)
    await this.#startAgent(await this.#configure(server), server.joinToken !== null)
    this.#startWorkload()
  }

  /** Rejects when one of the processes ends unexpectedly. */
  async failure(): Promise<never> {
    return await this.#processes.failure()
  }

  /** Ends everything at once; the directory goes with disposal. */
  kill(): void {
    this.#processes.kill()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes[Symbol.asyncDispose]()
    if (this.#directory !== '') await rm(this.#directory, { recursive: true, force: true })
  }

  get #socketPath(): string {
    return join(this.#directory, 'run', 'agent.sock')
  }

  async #configure({ address, caPath, tenantId, joinToken }: IcpServer): Promise<string> {
    const tokenPath = join(this.#directory, 'join-token')
    if (joinToken !== null) await writeFile(tokenPath, joinToken, { mode: 0o600 })
    await mkdir(dirname(this.#socketPath), { mode: 0o755 })
    const configuration = {
      agent: {
        tenant_id: tenantId,
        node_id: NODE_ID,
        data_dir: join(this.#directory, 'data'),
        socket_path: this.#socketPath,
        ...(joinToken === null ? {} : { join_token_path: tokenPath }),
      },
      icp_service: { address, trust_bundle_path: caPath },
      attestation: { type: 'unix' },
      // At this level the log tells the selectors of each caller.
      logging: { level: 'debug', format: 'json' },
      health: { enabled: false },
    }
    const path = join(this.#directory, 'config.yaml')
    // JSON is YAML.
    await writeFile(path, `${JSON.stringify(configuration, null, 2)}\n`)
    return path
  }

  async #startAgent(configuration: string, withToken: boolean): Promise<void> {
    const isUp = (line: Readonly<Record<string, unknown>>) => line['event'] === 'gRPC Workload API Server started'
    const { child } = await this.#processes.startUntil('the agent', [ICP_AGENT, '-c', configuration], isUp, (text) => {
      const line = jsonLine(text)
      const event = line && agentEvent(line, withToken)
      if (event) this.onEvent(event)
    })
    this.onEvent({ kind: 'agent', pid: child.pid, socket: this.#socketPath })
  }

  #startWorkload(): void {
    const onLine = (text: string) => this.onEvent(workloadEvent(JSON.parse(text) as WorkloadLine, child.pid))
    const env = { SPIFFE_ENDPOINT_SOCKET: `unix://${this.#socketPath}` }
    const child: Child = this.#processes.start('the workload', [join(HERE, 'workload.js')], onLine, env)
  }
}

function workloadEvent(line: WorkloadLine, pid: number): DemoEvent {
  switch (line.event) {
    case 'started':
      return { kind: 'workload', pid, uid: process.getuid?.() ?? 0, executable: line.executable }
    case 'holds':
      return { kind: 'holds', dialect: line.dialect, changes: line.changes, svids: line.svids }
    case 'waiting':
      return { kind: 'waiting', dialect: line.dialect, code: line.code, text: line.text }
  }
}
