import { type LineTable, SPELL } from './spec.js'

/** Workload attestors and the platforms they ask. */
export const ATTESTOR_LINES = {
  'Workload attestor is on': {
    level: 'info, then debug',
    fields: { attestor: 'text', reason: 'text' },
    means: 'Logged at the start and at each change. `reason` says which platform it asks.',
  },
  'Workload attestor is off': {
    level: 'info, then debug',
    fields: { attestor: 'text', reason: 'text' },
    means: 'Logged at the start and at each change. `reason` says why.',
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
  'Reading an executable hangs; not reading from its device for a while': {
    level: 'warning, then debug',
    fields: { device: 'text', abandoned: 'number' },
    means:
      'The file system of an executable does not answer, so its digest is unavailable. Other devices are still read.',
    todo: 'Find the mount with this device number (`/proc/self/mountinfo`).',
  },
  'Executables are read again': {
    level: 'info',
    fields: {},
    ends: 'Reading an executable hangs; not reading from its device for a while',
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
    todo: 'Allow `GET /images/*/json` in the proxy before the engine, or start the container again from an image that exists.',
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
    means: "A user named a control group or mounted files after another container's id. Once for each container.",
    todo: 'Ask the user of this process what they try to do.',
  },
  'Pods of this node cannot be listed': {
    level: 'warning, then debug',
    lookFor: true,
    fields: { endpoint: 'text', error: 'error' },
    means: 'The API server or the kubelet does not answer, or refuses the request. The known pods stay in use.',
    todo: 'Check the access of the service account and the network.',
  },
  'Pods of this node can be listed again': {
    level: 'info',
    fields: { 'pods?': 'number', ...SPELL },
    ends: 'Pods of this node cannot be listed',
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
    means: 'Logged the first time only: the API server may have just started.',
  },
  'Kubernetes does not list the pod of this agent; keeping pods that its list lacks': {
    level: 'warning, then debug',
    fields: { node_name: 'text', error: 'error' },
    means: 'The API server has just started, or `attestation.kubernetes.node_name` names another node.',
    todo: 'If it lasts, correct `attestation.kubernetes.node_name`.',
  },
  'Kubernetes lists the pod of this agent again': {
    level: 'info',
    fields: { node_name: 'text', ...SPELL },
    ends: 'Kubernetes does not list the pod of this agent; keeping pods that its list lacks',
  },
  'Kubernetes lists no pods on this node; check attestation.kubernetes.node_name': {
    level: 'warning',
    fields: { node_name: 'text' },
    means: 'The list of pods is empty.',
    todo: 'Compare the setting with `kubectl get nodes`.',
  },
  'Kubernetes returned objects that are not valid pods; ignoring them': {
    level: 'warning, then debug',
    fields: { objects: 'number' },
    means: 'They do not have the form that the API defines for a pod.',
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
    means: 'The API server closed it, or its time was over. The agent opens it again.',
  },
} as const satisfies LineTable
