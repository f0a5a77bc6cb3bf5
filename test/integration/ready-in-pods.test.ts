import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createLinuxKernel } from '../../agent/platform/linux-kernel.js'
import { startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { KernelInPods } from '../support/kernel-in-pods.js'
import { KubernetesApiDouble } from '../support/kubernetes-api.js'
import { cgroupOf, containerId, NODE, podObject } from '../support/kubernetes-pods.js'
import { eventually } from '../support/until.js'
import { healthOf } from './resilience/support.js'

const { uid } = podObject().metadata

/** As in a pod with `hostPID`: pid 1 is elsewhere. */
class KernelOfHost extends KernelInPods {
  override readonly host = { ...this.real.host, besidePid1: false }
}

it.each(['api', 'kubelet'])(
  'with pods by %s, /ready waits for the first list, and for none after it',
  async (source) => {
    await using dir = await temporaryDirectory()
    await using api = await KubernetesApiDouble.start()
    await using server = await startServer(join(dir.path, 'icp'))
    await writeFile(join(dir.path, 'token'), 'token-1')
    await writeFile(join(dir.path, 'ca.crt'), api.caPem)
    using kernel = createLinuxKernel()
    api.put(podObject())
    api.failsWith = 500
    await using agent = await startAgent({
      dir: dir.path,
      server,
      settings: {
        HEALTH__ENABLED: 'true',
        HEALTH__PORT: '0',
        HEALTH__WAIT_FOR_KUBERNETES: 'true',
        ATTESTATION__KUBERNETES__SOURCE: source,
        ATTESTATION__KUBERNETES__KUBELET_ADDRESS: api.address,
        ATTESTATION__KUBERNETES__API_TOKEN_PATH: join(dir.path, 'token'),
        ATTESTATION__KUBERNETES__API_CA_PATH: join(dir.path, 'ca.crt'),
        ATTESTATION__KUBERNETES__NODE_NAME: NODE,
        ATTESTATION__DOCKER__SOCKET_PATH: join(dir.path, 'no-docker.sock'),
      },
      world: {
        inPod: true,
        kernel: new KernelOfHost(kernel, () => cgroupOf(uid, containerId(`${uid}/app0`))),
        kubernetesApi: api.address,
      },
    })
    await agent.logged('Agent startup completed successfully')
    const health = await healthOf(agent)
    await agent.logged('Pods of this node cannot be listed')
    const { status, body } = await health('/ready?verbose')
    expect([status, body.reasons]).toEqual([503, [expect.stringMatching(/health\.wait_for_kubernetes.*answered 500/)]])

    api.failsWith = null
    await eventually(
      () => health('/ready'),
      ({ body }) => body.ready === true,
    )
    api.failsWith = 500
    // The kubelet is asked again when somebody calls.
    if (source === 'kubelet') return
    api.closeWatches()
    await eventually(
      () => agent.lines.filter(({ event }) => event === 'Pods of this node cannot be listed').length,
      (times) => times === 2,
    )
    expect((await health('/ready?verbose')).body).toEqual({ ready: true, reasons: [] })
  },
)
