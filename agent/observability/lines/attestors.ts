import { type LineTable, SPELL } from './spec.js'

/** Workload attestors and the platforms they ask. */
export const ATTESTOR_LINES = {
  'Workload attestor is on': {
    level: 'info, then debug',
    fields: { attestor: 'text', reason: 'text' },
    means: 'At the start, and when it changes. `reason` says what it asks.',
  },
  'Workload attestor is off': {
    level: 'info, then debug',
    fields: { attestor: 'text', reason: 'text' },
    means: 'At the start, and when it changes. `reason` says why.',
  },
  'Workload attestor failed': {
    level: 'warning, then debug',
    fields: { attestor: 'text', error: 'error' },
    means: 'It threw an error or took too long. Its selectors are unavailable until it answers again.',
    todo: 'Look up the code of `error` in [errors.md](errors.md).',
  },
  'Workload attestor answers again': {
    level: 'info',
    fields: { attestor: 'text', ...SPELL },
    ends: 'Workload attestor failed',
  },
  'Reading an executable hangs; its device is left alone for a while': {
    level: 'warning, then debug',
    fields: { device: 'text', abandoned: 'number' },
    means: 'The file system of an executable does not answer, so its digest is unavailable. Others are read on.',
    todo: 'Find the mount with this device number (`/proc/self/mountinfo`).',
  },
  'Executables are read again': {
    level: 'info',
    fields: {},
    ends: 'Reading an executable hangs; its device is left alone for a while',
  },
  'The thread that reads executables failed': {
    level: 'error',
    fields: { error: 'error' },
    means: 'It ran out of memory. The next request starts another one.',
    todo: 'Give the agent more memory.',
  },
  'Container engine found': {
    level: 'info',
    lookFor: true,
    fields: { socket_path: 'text' },
    means: 'The engine answered for the first time.',
  },
  'There is no container engine': {
    level: 'debug',
    fields: { error: 'error' },
    means: 'There is no socket of an engine on this machine.',
  },
  'Container engine does not answer': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { error: 'error' },
    means: 'Selectors `docker:*` are unavailable. Workloads that hold SVIDs keep them.',
    todo: 'Start the engine, or give the agent access to its socket.',
  },
  'Container engine answers again': {
    level: 'info',
    fields: { socket_path: 'text', ...SPELL },
    ends: 'Container engine does not answer',
  },
  'Labels of an image cannot be read; selectors on labels of its containers are unavailable': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { image: 'text', remedy: 'text', error: 'error' },
    means: 'Once for each image.',
    todo: 'Let the proxy before the engine answer for images, or start the container from an image that is there.',
  },
  'Labels of an image are read': {
    level: 'info',
    fields: { image: 'text' },
    ends: 'Labels of an image cannot be read; selectors on labels of its containers are unavailable',
  },
  'A process claims to be in a container that it is not in': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { pid: 'number', uid: 'number', container: 'text' },
    means: 'A user named a control group like it, or mounted files so as to look like it. Once for each container.',
    todo: 'Ask the user of this process what they try to do.',
  },
  'Kubernetes does not say which pods run here': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { endpoint: 'text', error: 'error' },
    means: 'The API server or the kubelet does not answer, or refuses. The pods that are known stay in use.',
    todo: 'Check the access of the service account and the network.',
  },
  'Kubernetes says again which pods run here': {
    level: 'info',
    fields: { 'pods?': 'number', ...SPELL },
    ends: 'Kubernetes does not say which pods run here',
  },
  'Kubernetes forbids watching pods; the list is polled': {
    level: 'warning, then debug',
    fields: { error: 'error' },
    means: 'Changes of pods arrive later.',
    todo: 'Allow `watch` on pods in the ClusterRole, as the chart does.',
  },
  'Kubernetes allows watching pods again': {
    level: 'info',
    fields: SPELL,
    ends: 'Kubernetes forbids watching pods; the list is polled',
  },
  'Kubernetes forbids watching pods for now': {
    level: 'debug',
    fields: { error: 'error' },
    means: 'For the first time; the API server may have just started.',
  },
  'Kubernetes does not show the pod of this agent; its list of pods withdraws nothing': {
    level: 'warning, then debug',
    fields: { node_name: 'text', error: 'error' },
    means: 'The API server has just started, or `attestation.kubernetes.node_name` names another node.',
    todo: 'If it lasts, correct `attestation.kubernetes.node_name`.',
  },
  'Kubernetes shows the pod of this agent again': {
    level: 'info',
    fields: { node_name: 'text', ...SPELL },
    ends: 'Kubernetes does not show the pod of this agent; its list of pods withdraws nothing',
  },
  'Kubernetes shows no pods on this node; is attestation.kubernetes.node_name right?': {
    level: 'warning',
    fields: { node_name: 'text' },
    means: 'The list of pods is empty.',
    todo: 'Compare the setting with `kubectl get nodes`.',
  },
  'Pods of Kubernetes cannot be read and are left out': {
    level: 'warning, then debug',
    fields: { objects: 'number' },
    means: 'Objects of the API are no pods as the API defines them.',
    todo: 'Report it, with the version of Kubernetes.',
  },
  'Pods of this node are known': {
    level: 'info',
    fields: { source: 'text', pods: 'number' },
    means: 'The first list of pods was read.',
  },
  'Pods of this node were listed': {
    level: 'debug',
    fields: { source: 'text', pods: 'number' },
    means: 'Another list of pods was read.',
  },
  'Watch of pods ended': {
    level: 'debug',
    fields: { why: 'text' },
    means: 'In one of the usual ways. It is opened again.',
  },
} as const satisfies LineTable
