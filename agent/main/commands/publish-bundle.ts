import { randomUUID } from 'node:crypto'
import { retryText } from '../../files/received-parts.js'
import { LinkedAbort, onAbort } from '../../lib/abort.js'
import { printable } from '../../observability/printable.js'
import { Disk } from '../../platform/disk.js'
import { serveOnLoopback } from '../../platform/loopback-http.js'
import { systemRandom } from '../../platform/system-random.js'
import { createHttpClient } from '../../platform/undici-http.js'
import type { BundlePublisher } from '../../publishing/bundle-publisher.js'
import { openClient } from '../api-client.js'
import { misused, readArguments, wholeNumber } from '../arguments.js'
import { offerBundles } from '../bundle-offers.js'
import { openPublisher, publicationOf, SERVICE_ACCOUNT } from '../bundle-publication.js'
import type { Command } from '../command.js'
import { kubernetesApi } from '../kubernetes-api.js'

const OPTIONS = {
  'config-map': { type: 'string' },
  'pem-key': { type: 'string' },
  'spiffe-key': { type: 'string' },
  federated: { type: 'string', several: true },
  'cluster-trust-bundle': { type: 'string' },
  'signer-name': { type: 'string' },
  'trust-domain': { type: 'string' },
  namespace: { type: 'string' },
  lease: { type: 'string' },
  'health-port': { type: 'string' },
  'token-file': { type: 'string' },
  'ca-file': { type: 'string' },
  socket: { type: 'string' },
} as const
/** Time for releasing the lease. */
const PARTING_MS = 5_000

export const publishBundle: Command = {
  help: `Usage: icp-agent publish-bundle [--config-map NAME] [--cluster-trust-bundle NAME] [OPTIONS]

Runs in a pod and keeps the bundle of the trust domain in a ConfigMap, a ClusterTrustBundle, or both. It is a
client of the Workload API and attested like any workload. Of several replicas the one with the lease writes.
It reverts changes of others within half a minute, never replaces a bundle by an empty one, and deletes
nothing. See docs/install/kubernetes.md.

Options:
  --config-map NAME     the ConfigMap, created if missing; its other keys stay
  --pem-key KEY         its key for the authorities as PEM; default bundle.pem
  --spiffe-key KEY      its key for the SPIFFE bundle (JSON, with the keys of JWT-SVIDs); default: none
  --federated DOMAIN    another trust domain; its authorities go into federated.DOMAIN.pem; may be repeated
  --cluster-trust-bundle NAME
                        the ClusterTrustBundle, created if missing
  --signer-name NAME    its signer; the bundle's NAME must begin with it, with a colon for the slash
  --trust-domain NAME   the trust domain; default: that of the first X.509-SVID of this process
  --namespace NAME      namespace of ConfigMap and lease; default: POD_NAMESPACE, else the service account's
  --lease NAME          the lease; default icp-agent-bundle-publisher
  --health-port PORT    serve /healthz and /ready at this port of 127.0.0.1; default: none
  --token-file FILE     token of the service account; default: the pod's own
  --ca-file FILE        authorities of the Kubernetes API; default: the pod's own
  --socket ADDRESS      unix:///path of the Workload API, or only the path; default:
                        SPIFFE_ENDPOINT_SOCKET, else the socket of the agent's configuration

Exit codes: 0 stopped; 1 failed; 2 wrong usage.

Example:
  icp-agent publish-bundle --config-map spiffe-bundle --spiffe-key bundle.spiffe.json
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const files = new Disk()
    const publication = await publicationOf(options, io.env, files)
    const address = kubernetesApi(io.env)
    if (address === null) {
      throw misused('KUBERNETES_SERVICE_HOST is not set: this command runs in a pod of the cluster that it writes to')
    }
    const health = options['health-port']
    const port = health === undefined ? null : wholeNumber(health, [1, 65_535], '--health-port')
    const tell = (text: string) => void io.stderr.write(`${new Date().toISOString()} ${printable(text)}\n`)
    const { client, clock } = await openClient(options, io, (retry) => tell(retryText(retry)))
    using _client = client
    const { publisher, api } = openPublisher(publication, {
      address,
      tokenPath: options['token-file'] ?? `${SERVICE_ACCOUNT}/token`,
      caPath: options['ca-file'] ?? `${SERVICE_ACCOUNT}/ca.crt`,
      holder: `${io.env['POD_NAME'] ?? io.env['HOSTNAME'] ?? 'icp-agent'}_${randomUUID()}`,
      files,
      clock,
      random: systemRandom,
      openHttp: (tls) => createHttpClient({ tls, roots: () => [] }),
      tell,
    })
    await using _api = api
    await using _health = port === null ? null : await serveHealth(publisher, port)
    using stop = new LinkedAbort(io.signal)
    const parting = new AbortController()
    const timers: Disposable[] = []
    using _parting = onAbort(stop.signal, () => timers.push(clock.after(PARTING_MS, () => parting.abort())))
    try {
      await Promise.all([
        publisher.run(stop.signal, parting.signal),
        offerBundles({ client, publication, publisher, tell }, stop.signal),
      ])
    } finally {
      stop.abort()
      for (const timer of timers) timer[Symbol.dispose]()
    }
    return 0
  },
}

/** For probes that run in the container. */
async function serveHealth(publisher: BundlePublisher, port: number): Promise<AsyncDisposable> {
  const headers = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' }
  return await serveOnLoopback({
    address: '127.0.0.1',
    port,
    option: '--health-port',
    answer: async ({ target }) => {
      const stuck = publisher.stuck === null ? [] : [publisher.stuck]
      const reasons = target === '/healthz' ? stuck : target === '/ready' ? publisher.troubles : null
      if (reasons === null) return { status: 404, headers, body: '{"error":"try /healthz and /ready"}\n' }
      const body = `${JSON.stringify({ ok: reasons.length === 0, reasons })}\n`
      return { status: reasons.length === 0 ? 200 : 503, headers, body }
    },
  })
}
