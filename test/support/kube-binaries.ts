import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const VERSION = '1.36.3'
/** Of Go, as Kubernetes of this version wants it. */
const GO = /go1\.(?:2[6-9]|[3-9]\d)/
/** Modules of Kubernetes that its own go.mod takes from a folder; published with v0 in the place of v1. */
const STAGED =
  `api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap
  code-generator component-base component-helpers controller-manager cri-api cri-client cri-streaming
  csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator
  kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission
  sample-apiserver sample-cli-plugin sample-controller streaming`.split(/\s+/)

export interface KubeBinaries {
  readonly etcd: string
  readonly apiserver: string
}

/**
 * Where etcd and kube-apiserver are: in the folder of KUBEBUILDER_ASSETS, as other tests of Kubernetes have it, or
 * built from their Go modules, once, into a folder of the machine's temporary files.
 */
const given = process.env['KUBEBUILDER_ASSETS']
const folder = given ?? join(tmpdir(), `icp-agent-kubernetes-${VERSION}`)
const binaries: KubeBinaries = { etcd: join(folder, 'etcd'), apiserver: join(folder, 'kube-apiserver') }

/** Why there are none and can be none; null where there are, or can be. */
export function kubeUnavailable(): string | null {
  if (existsSync(binaries.etcd) && existsSync(binaries.apiserver)) return null
  if (given !== undefined) return `${given} (KUBEBUILDER_ASSETS) holds no etcd and kube-apiserver`
  const { stdout } = spawnSync('go', ['version'], { encoding: 'utf8' })
  return stdout && GO.test(stdout) ? null : 'building kube-apiserver wants Go 1.26 or newer'
}

/** The binaries, built where they are missing: some minutes on two cores, and about a gigabyte of Go's caches. */
export async function kubeBinaries(): Promise<KubeBinaries> {
  await built(binaries.etcd, 'go.etcd.io/etcd/server/v3', '', moduleFile())
  await kubeBinary('kube-apiserver')
  return binaries
}

/** The path of one program of Kubernetes, of the same version. */
export async function kubeBinary(name: string): Promise<string> {
  const path = join(folder, name)
  await built(path, `k8s.io/kubernetes/cmd/${name}`, versionFlags(), moduleFile())
  return path
}

/** Builds a program of Go modules into the folder of the path, once. `goMod`: the go.mod that names them. */
export async function built(path: string, what: string, flags: string, goMod: string): Promise<void> {
  if (existsSync(path)) return
  const module = join(dirname(path), 'module')
  mkdirSync(module, { recursive: true })
  writeFileSync(join(module, 'go.mod'), goMod)
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod -buildvcs=false' }
  const args = ['build', '-ldflags', `-s -w ${flags}`, '-o', `${path}.new`, what]
  await promisify(execFile)('go', args, { cwd: module, env, maxBuffer: 64 * 1024 * 1024 })
  renameSync(`${path}.new`, path)
}

function moduleFile(): string {
  const staged = STAGED.map((name) => `\tk8s.io/${name} => k8s.io/${name} v0${VERSION.slice(1)}`)
  const lines = ['module kube', 'go 1.26.0', `require k8s.io/kubernetes v${VERSION}`, 'replace (', ...staged, ')']
  return `${lines.join('\n')}\n`
}

/** Without them the server takes itself for version 0.0. */
function versionFlags(): string {
  const [major, minor] = VERSION.split('.')
  const set = { gitVersion: `v${VERSION}`, gitMajor: major, gitMinor: minor }
  return Object.entries(set)
    .map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
    .join(' ')
}
