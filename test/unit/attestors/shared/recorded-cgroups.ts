/**
 * What `/proc/PID/cgroup` looks like in the field: recorded forms, ids and pod uids replaced by these. `origin` says
 * where a form comes from: `here` is the machine that these tests were written on (Linux 6.18, hybrid cgroups, Docker
 * Engine 20.10 with containerd 1.6 and runc 1.1, podman 4.3).
 */
export const ID = 'a5429977f9942cb7763cb0ec168c484898a4a756d2b553f27cbd31a074e84f08'
/** The container around, or beside. */
export const OUTER = 'efe539af18ef05d0d0a58969b72695818ca70556e03708058e12523fec16eb6f'
/** Whoever the forger wants to be. */
export const VICTIM = '8e7e0bae031bdf50e43f0fe0c9fd935141af94ac6eddbadd18c52ba4d7127b69'
export const POD = '2c48913c-b29f-11e7-9350-020968147796'
export const OTHER_POD = '11111111-2222-4333-8444-555555555555'
/** The uid of a static pod is the hash of its manifest. */
export const STATIC = '99dcb84d2a34f7e338778606703258c4'
const POD_ = POD.replaceAll('-', '_')
const OTHER_POD_ = OTHER_POD.replaceAll('-', '_')

export type Outcome =
  | {
      readonly id: string
      readonly pod?: string
      readonly runtime: 'docker' | 'containerd' | 'cri-o' | 'podman' | 'unknown'
      readonly trusted: 'kubepods' | 'engine-must-confirm'
      /** Default true. */
      readonly madeByRoot?: boolean
      /** Those that are named too, in the order in which they count. */
      readonly others?: readonly string[]
    }
  | 'none'
  | 'ambiguous'

export interface Recorded {
  readonly what: string
  readonly origin: string
  readonly cgroup: string
  /** The agent's own; default: a process of the host. */
  readonly own?: string
  readonly is: Outcome
}

const v2 = (path: string) => `0::${path}\n`
const CONTROLLERS = ['cpuset', 'cpu,cpuacct', 'memory', 'devices', 'freezer', 'pids', 'blkio', 'name=systemd']
/** The same path in every hierarchy of cgroup v1. */
const v1 = (path: string) => CONTROLLERS.map((controllers, i) => `${12 - i}:${controllers}:${path}\n`).join('')
/** `name=systemd` apart from the controllers. */
const v1of = (path: string, systemd: string) => `11:memory:${path}\n10:pids:${path}\n1:name=systemd:${systemd}\n`

/** Every hierarchy of a machine with hybrid cgroups, `cpu` and `cpuacct` apart, and the unified one beside them. */
const HYBRID = ['name=systemd', 'pids', 'blkio', 'freezer', 'devices', 'memory', 'cpuset', 'cpuacct', 'cpu', '']
const hybrid = (path: string) => HYBRID.map((controllers, i) => `${9 - i}:${controllers}:${path}\n`).join('')

const docker = { id: ID, runtime: 'docker', trusted: 'engine-must-confirm' } as const
const bare = { id: ID, runtime: 'unknown', trusted: 'engine-must-confirm' } as const
const podman = { id: ID, runtime: 'podman', trusted: 'engine-must-confirm' } as const
const containerd = { id: ID, pod: POD, runtime: 'containerd', trusted: 'kubepods' } as const
const crio = { id: ID, pod: POD, runtime: 'cri-o', trusted: 'kubepods' } as const
const kubelet = { id: ID, pod: POD, runtime: 'unknown', trusted: 'kubepods' } as const

const DOCKER: readonly Recorded[] = [
  {
    what: 'v1, cgroupfs driver, with the unified hierarchy beside it',
    origin: 'here: docker run',
    cgroup: `${v1(`/docker/${ID}`)}${v2(`/docker/${ID}`)}`,
    is: bare,
  },
  {
    what: 'seen from a container with a cgroup namespace of its own',
    origin: 'here: docker run --pid host --cgroupns private, reading a neighbour',
    cgroup: `${v1(`/../${ID}`)}${v2(`/../${ID}`)}`,
    own: `${v1('/')}${v2('/')}`,
    is: bare,
  },
  {
    what: 'a parent group of its own, seen from such a container',
    origin: 'here: docker run --cgroup-parent /batch',
    cgroup: `${v1(`/../../batch/${ID}`)}`,
    own: `${v1('/')}`,
    is: bare,
  },
  {
    what: 'v1 before the unified hierarchy',
    origin: 'Docker 18.09 on Debian 9, cgroupfs driver',
    cgroup: v1(`/docker/${ID}`),
    is: bare,
  },
  {
    what: 'a hybrid machine whose unified hierarchy knows only the service',
    origin: 'Docker 19.03 on Ubuntu 20.04',
    cgroup: `${v1(`/docker/${ID}`)}${v2('/system.slice/containerd.service')}`,
    is: bare,
  },
  {
    what: 'v2, systemd driver',
    origin: 'Docker 24 on Debian 12 and Ubuntu 22.04',
    cgroup: v2(`/system.slice/docker-${ID}.scope`),
    is: docker,
  },
  {
    what: 'v1, systemd driver',
    origin: 'Docker on CentOS 7 (native.cgroupdriver=systemd)',
    cgroup: v1(`/system.slice/docker-${ID}.scope`),
    is: docker,
  },
  {
    what: 'v2, cgroupfs driver',
    origin: 'Docker 20.10 on Alpine 3.19 (OpenRC)',
    cgroup: v2(`/docker/${ID}`),
    is: bare,
  },
  {
    what: 'systemd in the container',
    origin: 'Docker 24, v2, an image with systemd as its first process',
    cgroup: v2(`/system.slice/docker-${ID}.scope/init.scope`),
    is: docker,
  },
  {
    what: 'a service of the systemd in the container',
    origin: 'the same',
    cgroup: v2(`/system.slice/docker-${ID}.scope/system.slice/nginx.service`),
    is: docker,
  },
  {
    what: 'a slice as parent',
    origin: 'Docker 24, --cgroup-parent=batch.slice',
    cgroup: v2(`/batch.slice/docker-${ID}.scope`),
    is: docker,
  },
  {
    what: 'rootless',
    origin: 'Docker 24 rootless, systemd driver',
    cgroup: v2(`/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${ID}.scope`),
    is: { ...docker, madeByRoot: false },
  },
  {
    what: 'a task of Amazon ECS, v1',
    origin: 'amazon-ecs-agent issue 1119',
    cgroup: v1(`/ecs/a52246f2-daa7-47b4-9e84-0043331e1da0/${ID}`),
    is: bare,
  },
  {
    what: 'a task of Amazon ECS in a named cluster',
    origin: 'ECS, cluster name in the path',
    cgroup: v1(`/ecs/production/5a0d5ceddf6c44c1928d367a815d890f/${ID}`),
    is: bare,
  },
  {
    what: 'a task of Amazon ECS, v2',
    origin: 'amazon-ecs-agent pull request 3127',
    cgroup: v2(`/ecstasks.slice/ecstasks-5a0d5ceddf6c44c1928d367a815d890f.slice/docker-${ID}.scope`),
    is: docker,
  },
  {
    what: 'a slice name that runc did not hand to systemd',
    origin: 'Docker with the systemd driver, containerd-shim with cgroupfs',
    cgroup: v1(`/system.slice:docker:${ID}`),
    is: docker,
  },
]

const IN_DOCKER: readonly Recorded[] = [
  {
    what: 'docker in docker, v1: the outer container',
    origin: 'here: docker run --cgroup-parent /docker/OUTER/docker, as dind has it',
    cgroup: v1(`/docker/${OUTER}/docker/${ID}`),
    is: { ...bare, id: OUTER, others: [ID] },
  },
  {
    what: 'docker in docker, to an agent inside',
    origin: 'the same, read by a process of the outer container in its cgroup namespace',
    cgroup: v1(`/docker/${ID}`),
    own: v1('/'),
    is: bare,
  },
  {
    what: 'docker in docker, to an agent inside without a cgroup namespace',
    origin: 'the same with --cgroupns host',
    cgroup: v1(`/docker/${OUTER}/docker/${ID}`),
    own: v1(`/docker/${OUTER}`),
    is: { ...bare, others: [OUTER] },
  },
  {
    what: 'docker in docker, v2, whose processes moved into a leaf',
    origin: 'docker:dind 24 on a v2 host (dind moves itself to /init)',
    cgroup: v2(`/system.slice/docker-${OUTER}.scope/docker/${ID}`),
    is: { ...docker, id: OUTER, others: [ID] },
  },
  {
    what: 'the daemon of docker in docker itself',
    origin: 'the same',
    cgroup: v2(`/system.slice/docker-${OUTER}.scope/init`),
    is: { ...docker, id: OUTER },
  },
  {
    what: 'a kind node, v2, seen from the host: the node is the container',
    origin: 'kind 0.20, Docker 24, v2',
    cgroup: v2(
      `/system.slice/docker-${OUTER}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    ),
    is: { ...docker, id: OUTER, others: [ID] },
  },
  {
    what: 'a pod in kind, v2, to the host of the node',
    origin: 'kind 0.20, a service of the node (containerd/nri pull request 227 shows the path)',
    cgroup: v2(
      `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    ),
    own: v2('/system.slice/icp-agent.service'),
    is: containerd,
  },
  {
    what: 'a static pod in kind, v2',
    origin: 'kind 0.20: kube-apiserver',
    cgroup: v2(
      `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod${STATIC}.slice/cri-containerd-${ID}.scope`,
    ),
    is: { ...containerd, pod: STATIC },
  },
  {
    what: 'a pod in kind, v1, to an agent in another pod of the node',
    origin: 'kind 0.9, v1 without cgroup namespaces',
    cgroup: v1(`/docker/${OUTER}/kubelet/kubepods/besteffort/pod${POD}/${ID}`),
    own: v1(`/docker/${OUTER}/kubelet/kubepods/burstable/pod${OTHER_POD}/${VICTIM}`),
    is: { ...kubelet, others: [OUTER] },
  },
  {
    what: 'the node of kind, v1, to an agent in a pod of it',
    origin: 'the same: sshd of the node',
    cgroup: v1(`/docker/${OUTER}/system.slice/ssh.service`),
    own: v1(`/docker/${OUTER}/kubelet/kubepods/burstable/pod${OTHER_POD}/${VICTIM}`),
    is: { ...bare, id: OUTER },
  },
  {
    what: 'minikube with the docker driver and CRI-O, to an agent in a pod of it',
    origin: 'minikube issue 11280',
    cgroup: v1(
      `/docker/${OUTER}/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/crio-${ID}.scope`,
    ),
    own: v1(
      `/docker/${OUTER}/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${OTHER_POD_}.slice/crio-${VICTIM}.scope`,
    ),
    is: { ...crio, others: [OUTER] },
  },
]

const KUBERNETES: readonly Recorded[] = [
  ...['besteffort/', 'burstable/', ''].map((quality) => ({
    what: `a hybrid node, cgroupfs driver: ${quality || 'guaranteed'}`,
    origin: 'kubelet 1.36.3, containerd 2.3.7, runc 1.1.5',
    cgroup: hybrid(`/kubepods/${quality}pod${POD}/${ID}`),
    is: kubelet,
  })),
  {
    what: 'burstable, cgroupfs, v1',
    origin: 'here: docker run --cgroup-parent /kubepods/burstable/podUID, as the kubelet has it',
    cgroup: `${v1(`/kubepods/burstable/pod${POD}/${ID}`)}${v2(`/kubepods/burstable/pod${POD}/${ID}`)}`,
    is: kubelet,
  },
  {
    what: 'the same, seen from a container with a cgroup namespace of its own outside kubepods',
    origin: 'here',
    cgroup: v1(`/../../kubepods/burstable/pod${POD}/${ID}`),
    own: v1('/'),
    is: kubelet,
  },
  {
    what: 'besteffort, cgroupfs, v1',
    origin: 'Kubernetes 1.14, containerd 1.2, kops',
    cgroup: v1(`/kubepods/besteffort/pod${POD}/${ID}`),
    is: kubelet,
  },
  {
    what: 'guaranteed, cgroupfs, v1',
    origin: 'GKE 1.16, Container-Optimized OS',
    cgroup: v1(`/kubepods/pod${POD}/${ID}`),
    is: kubelet,
  },
  {
    what: 'a static pod, cgroupfs, v1',
    origin: 'kubeadm 1.15: etcd',
    cgroup: v1(`/kubepods/burstable/pod${STATIC}/${ID}`),
    is: { ...kubelet, pod: STATIC },
  },
  {
    what: 'cgroupfs, v2',
    origin: 'k0s 1.27',
    cgroup: v2(`/kubepods/burstable/pod${POD}/${ID}`),
    is: kubelet,
  },
  {
    what: 'cgroupfs, v2, seen from an agent in a besteffort pod',
    origin: 'k0s 1.27, private cgroup namespace',
    cgroup: v2(`/../../../burstable/pod${POD}/${ID}`),
    own: v2('/'),
    is: kubelet,
  },
  {
    what: 'cgroupfs, v2, seen from an agent in a pod of the same class',
    origin: 'k3s 1.26, private cgroup namespace',
    cgroup: v2(`/../../pod${POD}/${ID}`),
    own: v2('/'),
    is: kubelet,
  },
  {
    what: 'a static pod, seen from an agent in a pod of the same class',
    origin: 'kubeadm 1.27, cgroupfs, private cgroup namespace',
    cgroup: v2(`/../../pod${STATIC}/${ID}`),
    own: v2('/'),
    is: { ...kubelet, pod: STATIC },
  },
  {
    what: 'guaranteed, seen from an agent in a burstable pod',
    origin: 'k3s 1.26, private cgroup namespace',
    cgroup: v2(`/../../../pod${POD}/${ID}`),
    own: v2('/'),
    is: kubelet,
  },
  {
    what: 'containerd, systemd, v2, burstable',
    origin: 'kubeadm 1.28, containerd 1.7, Debian 12',
    cgroup: v2(
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    ),
    is: containerd,
  },
  {
    what: 'containerd, systemd, v2, besteffort',
    origin: 'EKS 1.28, Amazon Linux 2023',
    cgroup: v2(
      `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    ),
    is: containerd,
  },
  {
    what: 'containerd, systemd, v2, guaranteed',
    origin: 'AKS 1.28, Ubuntu 22.04',
    cgroup: v2(`/kubepods.slice/kubepods-pod${POD_}.slice/cri-containerd-${ID}.scope`),
    is: containerd,
  },
  {
    what: 'containerd, systemd, v2, a static pod',
    origin: 'kubeadm 1.28: kube-scheduler',
    cgroup: v2(
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${STATIC}.slice/cri-containerd-${ID}.scope`,
    ),
    is: { ...containerd, pod: STATIC },
  },
  {
    what: 'containerd, systemd, v1',
    origin: 'kubeadm 1.22, containerd 1.5, Ubuntu 20.04',
    cgroup: `${v1(`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/cri-containerd-${ID}.scope`)}${v2('/')}`,
    is: containerd,
  },
  {
    what: 'containerd, systemd, v2, from an agent in a pod of the same class',
    origin: 'kubeadm 1.28, private cgroup namespace',
    cgroup: v2(`/../../kubepods-besteffort-pod${POD_}.slice/cri-containerd-${ID}.scope`),
    own: v2('/'),
    is: containerd,
  },
  {
    what: 'containerd, systemd, v2, from an agent in a pod of another class',
    origin: 'the same',
    cgroup: v2(`/../../../kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/cri-containerd-${ID}.scope`),
    own: v2('/'),
    is: containerd,
  },
  {
    what: 'containerd, systemd, v2, guaranteed, from an agent in a burstable pod',
    origin: 'the same',
    cgroup: v2(`/../../../kubepods-pod${POD_}.slice/cri-containerd-${ID}.scope`),
    own: v2('/'),
    is: containerd,
  },
  {
    what: 'containerd, systemd, v2, from a service of the host in a cgroup namespace (systemd PrivateCgroup)',
    origin: 'the same, an agent in a container of Docker beside the kubelet',
    cgroup: v2(
      `/../../kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    ),
    own: v2('/'),
    is: containerd,
  },
  {
    what: 'another container of the pod of the agent',
    origin: 'spire: CRI-O with private cgroup namespaces',
    cgroup: v2(`/../crio-${ID}.scope`),
    own: v2('/'),
    is: { id: ID, runtime: 'cri-o', trusted: 'engine-must-confirm' },
  },
  {
    what: 'another container of the pod of the agent, without a cgroup namespace',
    origin: 'GKE 1.16 with a side car',
    cgroup: v1(`/kubepods/burstable/pod${POD}/${ID}`),
    own: v1(`/kubepods/burstable/pod${POD}/${OUTER}`),
    is: kubelet,
  },
  {
    what: 'the container of the agent',
    origin: 'the same: kubectl exec into the agent',
    cgroup: v1(`/kubepods/burstable/pod${POD}/${ID}`),
    own: v1(`/kubepods/burstable/pod${POD}/${ID}`),
    is: kubelet,
  },
  {
    what: 'containerd with the systemd driver and a runc without it: at the top',
    origin: 'opentelemetry-java issue 4507, hierarchy perf_event',
    cgroup: `11:perf_event:/kubepods-besteffort-pod${POD_}.slice:cri-containerd:${ID}\n`,
    is: containerd,
  },
  {
    what: 'containerd with the systemd driver and a runc without it: hierarchies differ',
    origin: 'opentelemetry-java issue 4507',
    cgroup: `11:perf_event:/kubepods-besteffort-pod${POD_}.slice:cri-containerd:${ID}\n10:blkio:/system.slice/containerd.service/kubepods-besteffort-pod${POD_}.slice:cri-containerd:${ID}\n`,
    is: containerd,
  },
  {
    what: 'a kubelet with a cgroup root of its own',
    origin: 'kubelet --cgroup-root=/kube-pods, systemd driver',
    cgroup: v2(
      `/kube_pods.slice/kube_pods-kubepods.slice/kube_pods-kubepods-burstable.slice/kube_pods-kubepods-burstable-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    ),
    is: containerd,
  },
  {
    what: 'Docker below the kubelet, systemd driver',
    origin: 'pharos-cluster issue 440: Kubernetes 1.10 on CentOS 7',
    cgroup: v1(`/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/docker-${ID}.scope`),
    is: { id: ID, pod: POD, runtime: 'docker', trusted: 'kubepods' },
  },
  {
    what: 'CRI-O, systemd, v1',
    origin: 'runc issue 4620; hierarchies that nobody manages stay at the top',
    cgroup: `${v1(`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/crio-${ID}.scope`)}11:files:/\n`,
    is: crio,
  },
  {
    what: 'CRI-O, systemd, v2',
    origin: 'OpenShift 4.13',
    cgroup: v2(`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/crio-${ID}.scope`),
    is: crio,
  },
  {
    what: 'CRI-O with crun, v2: the container is a group below',
    origin: 'OpenShift 4.15',
    cgroup: v2(
      `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/crio-${ID}.scope/container`,
    ),
    is: crio,
  },
  {
    what: 'CRI-O, cgroupfs',
    origin: 'CRI-O 1.20 with cgroup_manager = "cgroupfs"',
    cgroup: v1(`/kubepods/burstable/pod${POD}/crio-${ID}`),
    is: crio,
  },
  {
    what: 'the monitor of CRI-O is in the pod, but in no container',
    origin: 'OpenShift 4.13: conmon_cgroup = "pod"',
    cgroup: v2(`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/crio-conmon-${ID}.scope`),
    is: 'none',
  },
  {
    what: 'containerd without pods',
    origin: 'ctr -n k8s.io run, cgroupfs',
    cgroup: v2(`/k8s.io/${ID}`),
    is: bare,
  },
]

const OTHERS: readonly Recorded[] = [
  {
    what: 'podman, cgroupfs',
    origin: 'here: podman run with runc and --cgroup-manager=cgroupfs',
    cgroup: `${v1(`/libpod_parent/libpod-${ID}`)}${v2(`/libpod_parent/libpod-${ID}`)}`,
    is: podman,
  },
  {
    what: 'podman, systemd, crun',
    origin: 'podman 4.9 on Fedora 39, as root',
    cgroup: v2(`/machine.slice/libpod-${ID}.scope/container`),
    is: podman,
  },
  {
    what: 'podman, systemd, runc',
    origin: 'podman 3.4 on RHEL 8, as root',
    cgroup: v1(`/machine.slice/libpod-${ID}.scope`),
    is: podman,
  },
  {
    what: 'podman, a pod of it',
    origin: 'podman 4.9, podman pod create',
    cgroup: v2(`/machine.slice/machine-libpod_pod_${OUTER}.slice/libpod-${ID}.scope/container`),
    is: podman,
  },
  {
    what: 'podman, rootless',
    origin: 'podman 4.9 on Fedora 39, uid 1000',
    cgroup: v2(`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope/container`),
    is: { ...podman, madeByRoot: false },
  },
  {
    what: 'podman, rootless, systemd in the container',
    origin: 'podman 4.9, --systemd=always',
    cgroup: v2(`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope/container/init.scope`),
    is: { ...podman, madeByRoot: false },
  },
  {
    what: 'podman, a unit of its own (quadlet)',
    origin: 'podman 4.9, nginx.container, --cgroups=split',
    cgroup: v2(`/system.slice/nginx.service/libpod-payload-${ID}`),
    is: { ...podman, madeByRoot: false },
  },
  {
    what: 'podman, the monitor of a quadlet',
    origin: 'the same',
    cgroup: v2('/system.slice/nginx.service/runtime'),
    is: 'none',
  },
  {
    what: 'podman, the monitor',
    origin: 'podman 4.9: conmon',
    cgroup: v2(`/machine.slice/libpod-conmon-${ID}.scope`),
    is: 'none',
  },
  {
    what: 'podman without groups of its own',
    origin: 'podman 4.7, --cgroups=disabled (podman issue 20910)',
    cgroup: v2('/user.slice/user-10000.slice/user@10000.service/user.slice/podman-239302.scope'),
    is: 'none',
  },
  {
    what: 'nerdctl, systemd',
    origin: 'nerdctl 1.7 as root, v2',
    cgroup: v2(`/system.slice/nerdctl-${ID}.scope`),
    is: { id: ID, runtime: 'containerd', trusted: 'engine-must-confirm' },
  },
  {
    what: 'nerdctl, cgroupfs',
    origin: 'nerdctl 1.7 as root, v1',
    cgroup: v1(`/default/${ID}`),
    is: bare,
  },
  {
    what: 'a step of a build',
    origin: 'BuildKit in Docker 24: ids of 25 characters',
    cgroup: v2('/system.slice/docker.service/docker/buildkit/5cf82fwiumld3vcs5d5l5pzyv'),
    is: 'none',
  },
  {
    what: 'LXC',
    origin: 'LXC 3, Debian 10',
    cgroup: v1('/lxc/debian2'),
    is: 'none',
  },
  {
    what: 'LXC, v2',
    origin: 'LXD 5, Ubuntu 22.04',
    cgroup: v2('/lxc.payload.web/system.slice/nginx.service'),
    is: 'none',
  },
  {
    what: 'systemd-nspawn',
    origin: 'systemd 252',
    cgroup: v2('/machine.slice/systemd-nspawn@web.service/payload/init.scope'),
    is: 'none',
  },
  {
    what: 'a shell of the machine',
    origin: 'here',
    cgroup: `9:name=systemd:/\n4:memory:/process_api/960ca2a9878490ad46821fe1b464103b\n0::/\n`,
    is: 'none',
  },
  {
    what: 'a service',
    origin: 'systemd 252, v2',
    cgroup: v2('/system.slice/nginx.service'),
    is: 'none',
  },
  {
    what: 'a session',
    origin: 'systemd 247, v1',
    cgroup: v1of('/user.slice/user-1000.slice/session-3.scope', '/user.slice/user-1000.slice/session-3.scope'),
    is: 'none',
  },
  {
    what: 'the first process of the machine, from a cgroup namespace',
    origin: 'here',
    cgroup: `${v1('/../..')}${v2('/../..')}`,
    own: v1('/'),
    is: 'none',
  },
]

/** What somebody other than root can make, and would like to be taken for. */
const FORGED: readonly Recorded[] = [
  {
    what: "a user's group that is named like a container",
    origin: "systemd 252, v2: a user's manager hands its groups over",
    cgroup: v2(`/user.slice/user-1000.slice/user@1000.service/docker-${VICTIM}.scope`),
    is: { ...docker, id: VICTIM, madeByRoot: false },
  },
  {
    what: "a user's group that is named like a pod",
    origin: 'the same',
    cgroup: v2(`/user.slice/user-1000.slice/user@1000.service/kubepods/burstable/pod${POD}/${VICTIM}`),
    is: { ...bare, id: VICTIM, pod: POD, madeByRoot: false },
  },
  {
    what: "a user's slice that is named like the kubelet's",
    origin: 'the same: systemctl --user',
    cgroup: v2(
      `/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-pod${POD_}.slice/cri-containerd-${VICTIM}.scope`,
    ),
    is: { id: VICTIM, pod: POD, runtime: 'containerd', trusted: 'engine-must-confirm', madeByRoot: false },
  },
  {
    what: 'the same from an agent whose cgroup namespace hides the beginning',
    origin: 'the same, read in a pod',
    cgroup: v2(`/../../../../user.slice/user-1000.slice/user@1000.service/kubepods/burstable/pod${POD}/${VICTIM}`),
    own: v2('/'),
    is: { ...bare, id: VICTIM, pod: POD, madeByRoot: false },
  },
  {
    what: 'a service that makes groups of its own (Delegate=yes)',
    origin: 'systemd 252, v2, a service with User=',
    cgroup: v2(`/system.slice/batch.service/kubepods/burstable/pod${POD}/${VICTIM}`),
    is: { ...bare, id: VICTIM, pod: POD, madeByRoot: false },
  },
  {
    what: 'a service that names its group as containerd would',
    origin: 'the same',
    cgroup: v2(`/system.slice/batch.service/kubepods-pod${POD_}.slice:cri-containerd:${VICTIM}`),
    is: { id: VICTIM, pod: POD, runtime: 'containerd', trusted: 'engine-must-confirm', madeByRoot: false },
  },
  {
    what: 'a container that makes a group below its own',
    origin: 'here: docker run with a writable /sys/fs/cgroup',
    cgroup: v1(`/docker/${ID}/docker/${VICTIM}`),
    is: { ...bare, others: [VICTIM] },
  },
  {
    what: 'a container that makes a pod below its own group',
    origin: 'here: the same',
    cgroup: v1(`/docker/${ID}/kubepods/burstable/pod${POD}/${VICTIM}`),
    is: { ...bare, others: [VICTIM] },
  },
  {
    what: 'a container of a pod that makes another pod below its own group',
    origin: 'Kubernetes 1.28, a privileged container',
    cgroup: v2(
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/cri-containerd-${ID}.scope/kubepods.slice/kubepods-pod${OTHER_POD_}.slice/cri-containerd-${VICTIM}.scope`,
    ),
    is: { ...containerd, others: [VICTIM] },
  },
  {
    what: 'a container of podman with systemd in it, whose group is its own to divide',
    origin: 'podman 4.9, --systemd=always',
    cgroup: v2(`/machine.slice/libpod-${ID}.scope/container/docker/${VICTIM}`),
    is: { ...podman, others: [VICTIM] },
  },
  {
    what: 'an unprivileged container of LXC, whose group is its own to divide',
    origin: 'LXD 5',
    cgroup: v2(`/lxc.payload.web/kubepods/pod${POD}/${VICTIM}`),
    is: { ...bare, id: VICTIM, pod: POD, madeByRoot: false },
  },
  {
    what: "a group of pam_cgfs, a user's own in every hierarchy of v1",
    origin: 'lxcfs on Debian 10',
    cgroup: v1(`/user/joe/0/kubepods/pod${POD}/${VICTIM}`),
    is: { ...bare, id: VICTIM, pod: POD, madeByRoot: false },
  },
  {
    what: 'one hierarchy of v1 that a user may divide, beside those of his container',
    origin: 'systemd 247, v1: name=systemd is handed over',
    cgroup: v1of(`/docker/${ID}`, `/user.slice/user-1000.slice/user@1000.service/docker/${VICTIM}`),
    is: 'ambiguous',
  },
  {
    what: 'one hierarchy of v1 that a user may divide, beside those of his session',
    origin: 'the same',
    cgroup: v1of('/user.slice', `/user.slice/user-1000.slice/user@1000.service/kubepods/pod${POD}/${VICTIM}`),
    is: { ...bare, id: VICTIM, pod: POD, madeByRoot: false },
  },
  {
    what: 'one container, but two pods',
    origin: 'made up',
    cgroup: v1of(`/kubepods/pod${POD}/${ID}`, `/kubepods/pod${OTHER_POD}/${ID}`),
    is: 'ambiguous',
  },
  {
    what: 'a pod that somebody wrote below a name that is no group of a kubelet',
    origin: 'made up',
    cgroup: v2(`/kubepods/burstable/attic/pod${POD}/${VICTIM}`),
    is: { ...bare, id: VICTIM, pod: POD },
  },
  {
    what: 'upper-case digits, a digit too many, other words',
    origin: 'made up',
    cgroup: v2(`/docker/${ID.toUpperCase()}/${ID}0/constructor-${ID}.scope/docker-${ID}.scope2`),
    is: 'none',
  },
  {
    what: "a pod's group in one hierarchy, a session of a user in the other",
    origin: 'made up',
    cgroup: `4:memory:/kubepods/pod${POD}/${VICTIM}\n1:name=systemd:/user.slice/user-1000.slice/session-3.scope\n`,
    is: { ...bare, id: VICTIM, pod: POD },
  },
  {
    what: 'a group below that of a container, which is gone',
    origin: 'Linux 6.1: a process that nobody has reaped yet',
    cgroup: v2(`/docker/${ID}/below (deleted)`),
    is: 'none',
  },
  {
    what: 'a group that is gone',
    origin: 'Linux 6.1: a process that nobody has reaped yet',
    cgroup: v2(`/docker/${ID} (deleted)`),
    is: 'none',
  },
]

export const RECORDED: readonly Recorded[] = [...DOCKER, ...IN_DOCKER, ...KUBERNETES, ...OTHERS, ...FORGED]
