import { join } from 'node:path'
import { build } from 'esbuild'
import { expect, it } from 'vitest'
import { startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { Containers } from '../support/containers.js'
import { dockerUnavailable, nodeVolumes, startDockerEngine } from '../support/docker-engine.js'

const DOMAIN = 'acme.example'
const unavailable = await dockerUnavailable()
const skipped = unavailable === null ? '' : ` (skipped: ${unavailable})`

/** As a compose file has it: the host's pids, the engine's socket, a shared directory for the agent's own. */
it.skipIf(unavailable !== null).each(['private', 'host'])(
  `an agent in a container with a %s cgroup namespace attests its neighbours and itself${skipped}`,
  async (namespace) => {
    await using dir = await temporaryDirectory()
    await using engine = await startDockerEngine()
    await engine.makeImage('workload:1')
    await engine.makeImage('icp-agent:1')
    await using server = await startServer(join(dir.path, 'icp'), { workloadTrustDomain: DOMAIN })
    const entry = (name: string) =>
      server.createEntry({ spiffeId: `spiffe://${DOMAIN}/${name}`, selectors: { 'docker:label:app': name } })
    await entry('one')
    await entry('two')

    const script = join(engine.dir, 'agent.mjs')
    await build({
      entryPoints: ['agent/main/index.ts'],
      outfile: script,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20.19',
      external: ['koffi'],
      banner: { js: "import { createRequire as make } from 'node:module'; const require = make(import.meta.url);" },
      logLevel: 'error',
    })
    const settings: Readonly<Record<string, string>> = {
      AGENT__TENANT_ID: TENANT,
      AGENT__NODE_ID: 'node-1',
      AGENT__DATA_DIR: '/state/data',
      AGENT__SOCKET_PATH: '/state/run/agent.sock',
      ICP_SERVICE__ADDRESS: server.address,
      ICP_SERVICE__TRUST_BUNDLE_PATH: '/icp/ca.pem',
      HEALTH__ENABLED: 'false',
    }
    await engine.docker(
      ...['run', '--detach', '--name', 'agent', '--network', 'host', '--pid', 'host', '--cgroupns', namespace],
      ...['--cap-drop', 'ALL', '--cap-add', 'SYS_PTRACE', '--cap-add', 'DAC_OVERRIDE', '--read-only'],
      ...(await nodeVolumes()),
      ...['--volume', `${join(process.cwd(), 'node_modules')}:/node_modules:ro`, '--volume', `${script}:/agent.mjs:ro`],
      ...['--volume', `${join(dir.path, 'state')}:/state`, '--volume', `${server.caPath}:/icp/ca.pem:ro`],
      ...['--volume', `${engine.socketPath}:/var/run/docker.sock`],
      ...Object.entries(settings).flatMap(([key, value]) => ['--env', `ICP_AGENT_${key}=${value}`]),
      ...['icp-agent:1', '/node', '/agent.mjs'],
    )
    const containers = await Containers.prepare(engine, join(dir.path, 'state', 'run', 'agent.sock'))
    await expect.poll(() => engine.docker('logs', 'agent'), { timeout: 20_000 }).toContain('startup completed')
    const [one, two] = await Promise.all([
      containers.run({ name: 'one', labels: { app: 'one' } }),
      containers.run({ name: 'two', labels: { app: 'two' } }),
    ])
    const identities = await Promise.all([one.identities(), two.identities()])
    expect(identities).toEqual([[`spiffe://${DOMAIN}/one`], [`spiffe://${DOMAIN}/two`]])
    // Nobody told it that it runs in a container: it attested its node by the engine's word.
    expect(server.agents).toMatchObject([{ attestationType: 'docker' }])
    expect(JSON.stringify(server.agents[0]?.selectors)).toContain('icp-agent:1')
  },
)
