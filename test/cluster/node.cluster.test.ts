import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { helmBinary } from '../support/helm.js'
import { until } from '../support/until.js'
import { csiBinaries, nodeUnavailable, umlNodeUnavailable } from './binaries.js'
import { Cluster } from './cluster.js'
import { makeImages, programImage } from './images.js'
import { NodeSpace } from './node-space.js'
import { TrialServer } from './trial-server.js'
import { UmlMachine } from './uml-machine.js'
import { crewedPod, NAMESPACE, PodWorkload, podOf, SOCKET_OF_CONTAINER } from './workloads.js'

const AGENT_IMAGE = 'local/icp-agent:0.1.0'
const PERMISSION_DENIED = 7
const PODS = Array.from({ length: 8 }, (_, i) => `web-${i + 1}`)
const RESTARTS = 12
/** The agent asks a kubelet every 5 s, and a list that lacks pods counts when another one agrees 10 s later. */
const LISTENED_MS = 12_000
/** A kubelet shows static pods alone once it has waited half a minute for its API server. */
const AWAY_MS = 45_000

const PAGE = readFileSync('docs/install/kubernetes.md', 'utf8')
const NODES = [
  {
    what: 'in namespaces of this machine, with control groups of version 1',
    missing: nodeUnavailable(),
    make: () => NodeSpace.make(),
    boots: false,
  },
  {
    what: 'with a kernel, systemd and control groups of version 2 of its own',
    missing: umlNodeUnavailable(),
    make: () => UmlMachine.make(),
    boots: true,
  },
]

// A node that boots on a busy machine takes minutes for what a pod of this machine does in seconds.
describe.each(NODES)('a real node $what', { timeout: 1_800_000 }, ({ missing, make, boots }) => {
  if (missing !== null) {
    it.skip(`(${missing})`, () => undefined)
    return
  }
  let cluster: Cluster
  let helm: string
  let trial: TrialServer
  const id = (name: string) => `spiffe://${trial.tenantId}/${name}`
  const agentPod = ['-n', 'authsec', 'get', 'pods', '-l', 'app=icp-agent', '-o']
  const helmFlags = () => ['--kubeconfig', cluster.kubeconfig]
  const workloads: PodWorkload[] = []

  /** Sends SIGKILL to the agent, and resolves when its container runs again. */
  const kill = async () => {
    const container = () => cluster.kubectl(...agentPod, 'jsonpath={.items[*].status.containerStatuses[0].containerID}')
    const before = await container()
    await cluster.node.killContainer(before.replace('containerd://', ''))
    await until(async () => (await container()) !== before, { what: 'the agent was restarted' })
    await rolledOut()
  }
  const upgrade = (...values: readonly string[]) => {
    const set = ['--reset-then-reuse-values', ...values.flatMap((value) => ['--set', value])]
    return cluster.node.run(helm, ...helmFlags(), 'upgrade', 'icp-agent', './helm/icp-agent', '-n', 'authsec', ...set)
  }

  const rolledOut = async () => {
    await cluster.kubectl('-n', 'authsec', 'rollout', 'status', 'daemonset/icp-agent', '--timeout=180s')
  }

  /** What happens ends the streams of all workloads; each opens one again, gets what it had, and is never denied. */
  const servedAfter = async (
    what: () => Promise<void>,
    meanwhile: 'never denied' | 'refused meanwhile' = 'never denied',
  ) => {
    const before = workloads.map(({ texts }) => texts.length)
    await what()
    for (const [at, workload] of workloads.entries()) {
      const since = () => workload.lines.slice(before[at])
      await until(() => since().at(-1)?.svids !== undefined, { what: `${workload.name} is served again`, seconds: 600 })
      expect(workload.svids).toEqual([id(workload.name)])
      if (meanwhile === 'never denied') expect(since().filter(({ code }) => code === PERMISSION_DENIED)).toEqual([])
    }
  }

  beforeAll(async () => {
    helm = await helmBinary()
    cluster = await Cluster.start(make)
    const images = join(cluster.node.dir, 'images')
    mkdirSync(images)
    for (const archive of await makeImages(images)) await cluster.import(archive)
    trial = await TrialServer.start(cluster)
    for (const name of [...PODS, 'crew', 'caller', 'static']) await trial.register(name, NAMESPACE)
    for (const name of ['strict', 'identity-once', 'identity-sidecar']) await trial.register(name, 'restricted')
    await cluster.kubectl('create', 'namespace', NAMESPACE)
  }, 3_600_000)

  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]()
  }, 120_000)

  it('is given an agent by the words of the page', async () => {
    const [, section = ''] = PAGE.split('## Without an account')
    const [command = ''] = /^helm install icp-agent(?:.*\\\n)*.*$/m.exec(section) ?? []
    const words = trial.put(command.replace(/\\\n/g, ' ')).trim().split(/\s+/).slice(1)
    // Entries are read anew sooner than every half a minute.
    await cluster.node.run(helm, ...helmFlags(), ...words, '--set', 'agent.extraConfig.sync.interval=5s')
    await rolledOut()
    const exec = ['-n', 'authsec', 'exec', 'ds/icp-agent', '--']
    expect(JSON.parse(await cluster.kubectl(...exec, 'curl', '-s', 'http://localhost:8080/status'))).toMatchObject({
      ready: true,
      unready_reasons: [],
    })
  })

  it('lets nobody but the administrator change what is registered, and says at length that it is a trial', async () => {
    expect(await trial.log()).toMatch(/FOR TRIALS ONLY/)
    const change = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '-k', '-d', '{}', `${trial.address}/v1/entries`]
    expect(await cluster.kubectl('-n', 'authsec', 'exec', 'ds/icp-agent', '--', 'curl', ...change)).toBe('401')
  })

  it('gives each pod of one image its own identity, and no other', async () => {
    await cluster.apply(...PODS.map((name) => podOf(name, 'local/workload:1')))
    for (const name of PODS) workloads.push(await PodWorkload.find(cluster, name))
    for (const workload of workloads) await workload.gets(id(workload.name))
    for (const { name, lines } of workloads) {
      expect(new Set(lines.flatMap(({ svids }) => svids ?? []))).toEqual(new Set([id(name)]))
    }
  })

  it('gives init, sidecar and ephemeral containers the identity of their pod', async () => {
    const fetched = ['icp-agent', 'api', 'fetch', 'x509', '--timeout', '60s']
    await cluster.apply(crewedPod('crew', AGENT_IMAGE, fetched))
    const sidecar = await PodWorkload.find(cluster, 'crew')
    await sidecar.gets(id('crew'))
    const logs = (container: string) => ['-n', NAMESPACE, 'logs', 'crew', '-c', container]
    expect(await cluster.kubectl(...logs('init'))).toContain(id('crew'))
    const path = join(cluster.node.dir, 'ephemeral.json')
    writeFileSync(path, JSON.stringify(SOCKET_OF_CONTAINER))
    const debug = ['debug', 'crew', `--image=${AGENT_IMAGE}`, '--container=ephemeral', `--custom=${path}`]
    await cluster.kubectl('-n', NAMESPACE, ...debug, '--image-pull-policy=Never', '--', ...fetched)
    await cluster.kubectlUntil(new RegExp(id('crew')), ...logs('ephemeral'))
  })

  it('explains to the administrator what each pod gets', async () => {
    for (const { name, svids } of workloads) {
      const asked = ['icp-agent', 'explain', '--pod', `${NAMESPACE}/${name}`, '-o', 'json']
      const { processes } = JSON.parse(await cluster.kubectl('-n', 'authsec', 'exec', 'ds/icp-agent', '--', ...asked))
      expect(processes).toMatchObject([{ decision: { kind: 'send', spiffe_ids: svids } }])
    }
  })

  it('changes the identity with the label', async () => {
    const [first] = workloads
    const label = (value: string) =>
      cluster.kubectl('-n', NAMESPACE, 'label', 'pod', PODS[0] ?? '', `app=${value}`, '--overwrite')
    await label('web-2')
    await first?.gets(id('web-2'))
    await label('web-1')
    await first?.gets(id('web-1'))
  })

  it('serves everybody again after a rollout of the agent', async () => {
    const before = await cluster.kubectl(...agentPod, 'name')
    await servedAfter(async () => {
      await cluster.kubectl('-n', 'authsec', 'rollout', 'restart', 'daemonset/icp-agent')
      await rolledOut()
    })
    expect(await cluster.kubectl(...agentPod, 'name')).not.toBe(before)
  })

  it('serves everybody again after `kill -9` of the agent', async () => {
    await servedAfter(kill)
  })

  it('is not ready without `hostPID`, and says so', async () => {
    const daemonset = ['-n', 'authsec', 'patch', 'daemonset', 'icp-agent', '--type=json', '-p']
    await servedAfter(async () => {
      await cluster.kubectl(...daemonset, '[{"op":"remove","path":"/spec/template/spec/hostPID"}]')
      const asked = ['-n', 'authsec', 'exec', 'ds/icp-agent', '--', 'curl', '-s', 'http://localhost:8080/ready?verbose']
      const alone = /^\{"ready":false,"reasons":\["[^"]*PID namespace of its own[^"]*hostPID: true"\]\}/
      const before = workloads.map(({ ends }) => ends.length)
      await cluster.kubectlUntil(alone, ...asked)
      for (const [at, workload] of workloads.entries()) {
        const refused = () => workload.ends.slice(before[at]).some(({ code }) => code === PERMISSION_DENIED)
        await until(refused, { what: `${workload.name} is refused` })
      }
      await cluster.kubectl(...daemonset, '[{"op":"add","path":"/spec/template/spec/hostPID","value":true}]')
      await rolledOut()
    }, 'refused meanwhile')
  })

  describe('with a CSI driver, in a namespace of Pod Security `restricted`', () => {
    const namespace = 'restricted'
    const name = 'strict'
    let pod: PodWorkload

    beforeAll(async () => {
      const { driver, registrar } = await csiBinaries()
      const images = { 'spiffe-csi-driver': driver, 'csi-node-driver-registrar': registrar }
      for (const [image, program] of Object.entries(images)) {
        await cluster.import(programImage(join(cluster.node.dir, 'images'), image, program))
      }
      const set = ['create=true', 'image=local/spiffe-csi-driver:1', 'registrarImage=local/csi-node-driver-registrar:1']
      await upgrade(...set.map((value) => `csiDriver.${value}`))
      await cluster.kubectl('-n', 'authsec', 'rollout', 'status', 'daemonset/icp-agent-csi', '--timeout=180s')
      await cluster.kubectl('create', 'namespace', namespace)
      await cluster.kubectl('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted')
    })

    it('refuses a pod with the directory of the host', async () => {
      const refused = cluster.apply(podOf('plain', 'local/workload:1', { namespace, restricted: true }))
      await expect(refused).rejects.toThrow(/violates PodSecurity.*hostPath/)
    })

    it('serves a pod by the driver, also after the agent was killed', async () => {
      const volume = { csi: { driver: 'csi.spiffe.io', readOnly: true } }
      await cluster.apply(podOf(name, 'local/workload:1', { namespace, volume, restricted: true }))
      pod = await PodWorkload.find(cluster, name, namespace)
      await pod.gets(id(name))
      const before = pod.texts.length
      await servedAfter(kill)
      await until(() => pod.lines.slice(before).some(({ svids }) => `${svids}` === id(name)), {
        what: 'the pod is served again',
      })
      expect(pod.ends.filter(({ code }) => code === PERMISSION_DENIED)).toEqual([])
    })

    it('serves the examples with an init container and with a sidecar that write files', async () => {
      for (const example of ['files-init-container', 'files-sidecar']) {
        const path = join(cluster.node.dir, `${example}.yaml`)
        const text = readFileSync(`deploy/kubernetes/examples/${example}.yaml`, 'utf8')
        writeFileSync(path, text.replaceAll('authsec/icp-agent', 'local/icp-agent'))
        await cluster.kubectl('-n', namespace, 'apply', '-f', path)
      }
      const logs = ['-n', namespace, 'logs', '-c', 'program']
      await cluster.kubectlUntil(/svid_key\.pem/, ...logs, 'identity-once')
      await cluster.kubectl('-n', namespace, 'rollout', 'status', 'deployment/identity-sidecar', '--timeout=180s')
      await cluster.kubectlUntil(/^\.\.[\w.-]+/, ...logs, 'deployment/identity-sidecar')
    })
  })

  describe('with the pods of the kubelet', () => {
    let caller: PodWorkload
    let staticPod: PodWorkload

    beforeAll(async () => {
      await servedAfter(async () => {
        await upgrade('agent.podSource=kubelet')
        await rolledOut()
      })
      const asks =
        'while :; do icp-agent api fetch x509 --timeout 60s >/tmp/said 2>&1; echo "$? $(cat /tmp/said | tail -1)" >>/out/lines; sleep 0.3; done'
      await cluster.apply(podOf('caller', AGENT_IMAGE, { command: ['sh', '-c', asks] }))
      writeFileSync(
        join(cluster.node.dir, 'manifests', 'static.json'),
        JSON.stringify(podOf('static', 'local/workload:1')),
      )
      caller = await PodWorkload.find(cluster, 'caller')
      staticPod = await PodWorkload.find(cluster, 'static-node-1')
      await staticPod.gets(id('static'))
    })

    /** Nothing was withdrawn, said again or refused to anybody, in a pod of the API or a static one. */
    const deniesNobody = async (what: () => Promise<void>, atLeast: number) => {
      const all = [...workloads, staticPod]
      const before = all.map(({ name, texts }) => ({ name, lines: texts.length }))
      const asked = caller.texts.length
      await what()
      expect(all.map(({ name, texts }) => ({ name, lines: texts.length }))).toEqual(before)
      const answers = caller.texts.slice(asked)
      expect(answers.length).toBeGreaterThan(atLeast)
      expect(answers.filter((text) => !text.startsWith('0 '))).toEqual([])
    }

    if (boots) {
      const machine = () => {
        if (cluster.node instanceof UmlMachine) return cluster.node
        throw new Error('this node does not boot')
      }
      it.each([
        ['is rebooted', () => machine().reboot()],
        ['loses its power', () => machine().crash()],
      ])('serves everybody again, and denies nobody, when the node %s', async (_, boot) => {
        await servedAfter(async () => {
          await boot()
          await cluster.startPrograms()
        })
      })
    }

    it(`denies nobody when the kubelet restarts, ${RESTARTS} times, with a static pod present`, async () => {
      await deniesNobody(async () => {
        for (let restart = 0; restart < RESTARTS; restart++) {
          await cluster.restart('kubelet')
          await sleep(LISTENED_MS)
        }
      }, RESTARTS)
    })

    it('denies nobody when the kubelet restarts while the API server is away', async () => {
      await deniesNobody(async () => {
        await cluster.stop('kube-apiserver')
        await cluster.restart('kubelet')
        await sleep(AWAY_MS)
        await cluster.restart('kube-apiserver')
        await cluster.answers()
        await sleep(2 * LISTENED_MS)
      }, RESTARTS)
    })
  })
})
