import { spawnSync } from 'node:child_process'
import { cpSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { built, kubeBinaries, kubeBinary, kubeUnavailable } from '../support/kube-binaries.js'
import { umlUnavailable } from './uml-machine.js'

const CONTAINERD = '2.3.7'
const SPIFFE_CSI = '0.2.6'
const KUBELET_API = '0.36.3'
const csiFolder = join(tmpdir(), `icp-agent-spiffe-csi-${SPIFFE_CSI}`)
const folder = join(tmpdir(), `icp-agent-containerd-${CONTAINERD}`)
const NEEDED = ['ip', 'iptables', 'nsenter', 'openssl', 'runc', 'setpriv', 'tar', 'unshare']

export type NodeBinaries = Awaited<ReturnType<typeof nodeBinaries>>

/** Why a node cannot be run here; null where it can. */
export function nodeUnavailable(): string | null {
  if (process.getuid?.() !== 0) return 'only root can run a node'
  if (!existsSync('/sys/fs/cgroup/memory/cgroup.procs')) return 'the control groups of version 1 are not mounted here'
  const missing = NEEDED.filter((program) => spawnSync('which', [program]).status !== 0)
  if (missing.length > 0) return `missing: ${missing.join(', ')}`
  return kubeUnavailable()
}

/** Why a node on a machine of its own cannot be run here; null where it can. */
export function umlNodeUnavailable(): string | null {
  if (process.getuid?.() !== 0) return 'only root can run a node'
  return umlUnavailable() ?? kubeUnavailable()
}

/** What a node runs, built where it is missing: half an hour on two cores, and two gigabytes of Go's caches. */
export async function nodeBinaries() {
  const { etcd, apiserver } = await kubeBinaries()
  const containerd = (name: string) => {
    const goMod = `module node\ngo 1.26.0\nrequire github.com/containerd/containerd/v2 v${CONTAINERD}\n`
    const flags = `-X github.com/containerd/containerd/v2/version.Version=${CONTAINERD}`
    return built(join(folder, name), `github.com/containerd/containerd/v2/cmd/${name}`, flags, goMod)
  }
  for (const name of ['containerd', 'containerd-shim-runc-v2', 'ctr']) await containerd(name)
  return {
    etcd,
    apiserver,
    controllerManager: await kubeBinary('kube-controller-manager'),
    scheduler: await kubeBinary('kube-scheduler'),
    proxy: await kubeBinary('kube-proxy'),
    kubelet: await kubeBinary('kubelet'),
    /** containerd, its shim and ctr. */
    containerdFolder: folder,
  }
}

/** The CSI driver of SPIFFE and what registers it with the kubelet, built where they are missing. */
export async function csiBinaries() {
  const [driver, registrar] = [join(csiFolder, 'spiffe-csi-driver'), join(csiFolder, 'csi-node-driver-registrar')]
  const csi = 'github.com/spiffe/spiffe-csi'
  await built(driver, `${csi}/cmd/spiffe-csi-driver`, '', `module csi\ngo 1.26.0\nrequire ${csi} v${SPIFFE_CSI}\n`)
  cpSync(join(import.meta.dirname, 'registrar'), join(csiFolder, 'module', 'registrar'), { recursive: true })
  await built(registrar, './registrar', '', `module csi\ngo 1.26.0\nrequire k8s.io/kubelet v${KUBELET_API}\n`)
  return { driver, registrar }
}
