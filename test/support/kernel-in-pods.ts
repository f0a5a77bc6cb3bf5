import type {
  ExecutableId,
  HostNamespaces,
  Kernel,
  OpenExecutable,
  Peer,
  ProcessHandle,
} from '../../agent/ports/kernel.js'

/**
 * The real kernel, but for the control groups of processes: those are what the test says. A test that is no root cannot
 * put a process into a pod.
 */
export class KernelInPods implements Kernel {
  readonly host: HostNamespaces
  readonly ownCgroup = '0::/system.slice/icp-agent.service\n'

  constructor(
    protected readonly real: Kernel,
    private readonly groupOf: (pid: number) => string,
  ) {
    this.host = real.host
  }

  peerOf(fd: number): Peer {
    const peer = this.real.peerOf(fd)
    return { ...peer, process: new ProcessInPod(peer.process, this.groupOf) }
  }

  peerOfPid(pid: number): Peer {
    const peer = this.real.peerOfPid(pid)
    return { ...peer, process: new ProcessInPod(peer.process, this.groupOf) }
  }

  pids(): readonly number[] {
    return this.real.pids()
  }

  cgroupOf(pid: number): string | null {
    return this.groupOf(pid)
  }

  accept(listening: number): number | null {
    return this.real.accept(listening)
  }

  close(fd: number): void {
    this.real.close(fd)
  }

  idsOf(fd: number): { readonly pid: number; readonly uid: number } | null {
    return this.real.idsOf(fd)
  }

  hungUp(fd: number): boolean {
    return this.real.hungUp(fd)
  }

  onExit(process: ProcessHandle, ended: () => void): Disposable {
    return this.real.onExit(process instanceof ProcessInPod ? process.real : process, ended)
  }
}

class ProcessInPod implements ProcessHandle {
  readonly pid: number
  readonly key: string

  constructor(
    readonly real: ProcessHandle,
    private readonly cgroupOf: (pid: number) => string,
  ) {
    this.pid = real.pid
    this.key = real.key
  }

  alive(): boolean {
    return this.real.alive()
  }
  executable(): ExecutableId | null {
    return this.real.executable()
  }
  openExecutable(): OpenExecutable | null {
    return this.real.openExecutable()
  }
  read(file: 'stat' | 'status' | 'cgroup' | 'mountinfo' | 'uid_map'): string {
    const text = this.real.read(file)
    return file === 'cgroup' ? this.cgroupOf(this.pid) : text
  }
  namespace(kind: 'mnt' | 'user' | 'pid' | 'cgroup' | 'net'): string | null {
    return this.real.namespace(kind)
  }
  [Symbol.dispose](): void {
    this.real[Symbol.dispose]()
  }
}
