import { quote } from '../problem.js'
import { bool, choice, duration, list, matching, optional, path, setting, size, textual } from '../setting.js'
import { socketPath } from './agent.js'

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
/** RFC 1123 label and subdomain, as Kubernetes names namespaces and nodes. */
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/

const kubeletAddress = textual((text) => {
  const remedy = 'use an address such as https://10.0.0.7:10250'
  const url = URL.canParse(text) ? new URL(text) : null
  // Not quoted: it may hold a password.
  if (url?.username || url?.password) return ['holds a user name or password', remedy]
  return url?.protocol === 'https:' && url.href === `${url.origin}/`
    ? { value: url.origin }
    : [`is ${quote(text)}`, remedy]
})

export const attestationSettings = {
  'attestation.type': setting(choice(['auto', 'kubernetes', 'docker', 'unix', 'join_token']), {
    kind: '`auto`, `kubernetes`, `docker`, `unix`, `join_token`',
    default: 'auto',
    reload: 'live',
    what: 'How the node attests. `auto`: kubernetes in a pod with a token, docker in another container, else unix.',
  }),
  'attestation.kubernetes.token_path': setting(path(), {
    kind: 'path',
    path: 'file',
    default: `${SERVICE_ACCOUNT}/token`,
    reload: 'live',
    what: 'The projected service-account token that the node attests with (PSAT), without an audience.',
  }),
  'attestation.kubernetes.cluster_name': setting(
    textual((text) => ({ value: text })),
    {
      kind: 'text',
      default: '',
      reload: 'live',
      what: 'Name of the cluster: sent as evidence, and the selector `k8s:cluster`.',
    },
  ),
  'attestation.kubernetes.api_token_path': setting(path(), {
    kind: 'path',
    path: 'file',
    default: `${SERVICE_ACCOUNT}/token`,
    reload: 'live',
    what: 'File with the token for the Kubernetes API, read for each request.',
  }),
  'attestation.kubernetes.api_ca_path': setting(path(), {
    kind: 'path',
    path: 'file',
    default: `${SERVICE_ACCOUNT}/ca.crt`,
    reload: 'live',
    what: 'File with the CA certificates of the Kubernetes API.',
  }),
  'attestation.kubernetes.authsec_namespaces': setting(
    list(LABEL, 'use names of namespaces, such as [agents, ai-prod]'),
    {
      kind: 'list',
      default: '',
      reload: 'live',
      what: 'Namespaces whose pods may name an AI agent by label or annotation (`authsec.ai/client-id`). Whoever may create a pod there may claim any AI agent.',
    },
  ),
  'attestation.kubernetes.source': setting(choice(['api', 'kubelet']), {
    kind: '`api`, `kubelet`',
    default: 'api',
    reload: 'live',
    what: 'Where the agent reads the pods of its node: list and watch at the API server, or the kubelet.',
  }),
  'attestation.kubernetes.node_name': optional(
    matching(SUBDOMAIN, "use the node's name as `kubectl get nodes` shows it").describe('at most 253 characters'),
    {
      kind: 'name',
      defaultIs: '`NODE_NAME` from the environment, else the node id',
      reload: 'restart',
      what: "This node's name in Kubernetes (`spec.nodeName`).",
    },
  ),
  'attestation.kubernetes.kubelet_address': optional(kubeletAddress, {
    kind: 'URL',
    defaultIs: '`https://NODE_NAME:10250`, with `node_name`',
    reload: 'live',
    what: "Address of this node's kubelet, for `source: kubelet`. In a pod use the node's IP address (`status.hostIP`) if the cluster's DNS does not resolve node names.",
  }),
  'attestation.kubernetes.kubelet_ca_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: '`api_ca_path`',
    reload: 'live',
    what: "File with the CA certificates of the kubelet's serving certificate, which is often self-signed.",
  }),
  'attestation.kubernetes.container_wait': setting(duration('0s', '5m'), {
    kind: 'duration',
    default: '30s',
    reload: 'live',
    what: 'How long a call is held while its pod is known and its container is not shown yet: kubelets show containers when all have started and every `postStart` hook has ended.',
  }),
  'attestation.docker.socket_path': setting(socketPath, {
    kind: 'path or `unix:///path`',
    path: 'socket',
    default: '/var/run/docker.sock',
    reload: 'live',
    what: "The container engine's API socket (Docker, or podman's).",
  }),
  'attestation.docker.authsec_labels': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'live',
    what: 'Container labels may name an AI agent. Whoever may start a container may claim any AI agent.',
  }),
  'attestation.docker.image_labels': setting(choice(['separate', 'merged']), {
    kind: '`separate`, `merged`',
    default: 'separate',
    reload: 'live',
    what: '`separate`: labels of the image are `docker:image-label:*`. `merged`: they are `docker:label:*` like those of the container, so whoever builds an image chooses these.',
  }),
  'attestation.unix.method': setting(choice(['procfs', 'systemd']), {
    kind: '`procfs`, `systemd`',
    default: 'procfs',
    reload: 'live',
    what: '`systemd` adds the selectors of systemd units. With `attestation.type: auto` they are on wherever systemd runs.',
  }),
  'attestation.unix.forgeable': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'live',
    what: 'Adds the selector `unix:process`, a name that a process gives itself.',
  }),
  'attestation.unix.max_executable_size': setting(size(0, 64 * 1024 ** 3), {
    kind: 'size',
    default: '512MiB',
    reload: 'live',
    what: 'Executables larger than this get no selector `unix:sha256`; 0: none does.',
  }),
}
