import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { callerOf } from '../../../agent/attestation/caller.js'
import { fileEvents } from '../../../agent/observability/file-events.js'
import { kubernetesEvents } from '../../../agent/observability/kubernetes-events.js'
import { Disk } from '../../../agent/platform/disk.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { systemRandom } from '../../../agent/platform/system-random.js'
import { createHttpClient } from '../../../agent/platform/undici-http.js'
import { type KubernetesSettings, kubernetesWorkloads } from '../../../attestors/kubernetes/create.js'
import { FakeKernel } from '../../fakes/kernel.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { cgroupOf, containerId, NODE, type PodWish, podObject } from '../../support/kubernetes-pods.js'
import { ownDirectory } from '../../support/own-directory.js'

/** The Kubernetes part of an agent with real files, time and HTTPS; its callers are processes of a table. */
export async function startKubernetesPart(
  api: { readonly address: string; readonly caPem: string },
  token: string,
  settings: Partial<KubernetesSettings> = {},
) {
  const dir = await ownDirectory()
  const paths = { token: join(dir.path, 'token'), ca: join(dir.path, 'ca.crt') }
  /** As a kubelet does: another file takes the name. */
  const write = async (path: string, text: string) => {
    await writeFile(`${path}.new`, text)
    await rename(`${path}.new`, path)
  }
  await write(paths.token, token)
  await write(paths.ca, api.caPem)
  const kernel = new FakeKernel()
  const clock = new SystemClock()
  const sinks = new RecordedSinks()
  const part = kubernetesWorkloads({
    files: new Disk(),
    fileEvents: fileEvents(sinks.log, clock),
    kernel,
    clock,
    random: systemRandom,
    events: kubernetesEvents(sinks, clock),
    openHttp: (tls) => createHttpClient({ tls, roots: () => [] }),
    kubernetesApi: api.address,
    tenantId: 'tenant',
    settings: {
      clusterName: '',
      apiTokenPath: paths.token,
      apiCaPath: paths.ca,
      authsecNamespaces: [],
      source: 'api',
      nodeName: NODE,
      ownPod: null,
      containerWaitMs: 30_000,
      kubeletAddress: api.address,
      kubeletCaPath: paths.ca,
      ...settings,
    },
  })
  if (!part) throw new TypeError('there is an API')
  const stop = new AbortController()
  const ended = part.run(stop.signal)

  const callerIn = (wish: PodWish, container = 'app0') => {
    const { uid } = podObject(wish).metadata
    return callerOf(kernel.peer(kernel.spawn({ files: { cgroup: cgroupOf(uid, containerId(`${uid}/${container}`)) } })))
  }
  /** Attests with so many milliseconds to wait for what is not known. */
  const attest = (wish: PodWish, ms = 600_000, container?: string) =>
    part.attestor.attest(callerIn(wish, container), AbortSignal.timeout(ms))
  /** The value of a label, or why there is none. */
  const label = async (wish: PodWish, key = 'app', ms?: number) => {
    const { selectors, unavailable } = await attest(wish, ms)
    return selectors.get(`k8s:pod-label:${key}`) ?? (unavailable.length > 0 ? 'unavailable' : 'none')
  }
  return {
    attestor: part.attestor,
    podsNamed: part.podsNamed,
    kernel,
    clock,
    sinks,
    attest,
    label,
    callerIn,
    rotate: (text: string) => write(paths.token, text),
    trust: (pem: string) => write(paths.ca, pem),
    async [Symbol.asyncDispose]() {
      stop.abort()
      await ended
      await dir[Symbol.asyncDispose]()
    },
  }
}
