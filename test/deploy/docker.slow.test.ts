import { execFile, execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { importBaseImage } from '../support/base-image.js'
import { type DockerEngine, dockerUnavailable, startDockerEngine } from '../support/docker-engine.js'
import { helmBinary, ran } from '../support/helm.js'
import { until } from '../support/until.js'

const run = promisify(execFile)
const PROJECT = 'icp-compose-test'

async function unavailable(): Promise<string | null> {
  const engine = await dockerUnavailable()
  if (engine) return engine
  for (const program of ['debootstrap', 'docker-compose']) {
    try {
      execFileSync('which', [program])
    } catch {
      return `${program} is missing: apt-get install ${program}`
    }
  }
  return null
}

const missing = await unavailable()
const say = missing ? `the image and the compose demo (skipped: ${missing})` : 'the image and the compose demo'

describe.skipIf(missing !== null)(say, () => {
  let engine: DockerEngine
  let settings: string

  const compose = async (...args: string[]) => {
    const env = { ...process.env, DOCKER_HOST: `unix://${engine.socketPath}` }
    const common = ['-p', PROJECT, '--env-file', settings, '--profile', 'demo']
    const { stdout } = await run('docker-compose', [...common, ...args], { env, maxBuffer: 16 * 1024 * 1024 })
    return stdout
  }
  const container = (service: string) => `${PROJECT}_${service}_1`
  const identity = async (service: string) => {
    const text = await engine.docker('exec', container(service), 'icp-agent', 'api', 'fetch', 'x509', '-o', 'json')
    return (JSON.parse(text) as { svids: { spiffe_id: string; serial_number: string }[] }).svids
  }
  const healthy = async (service: string) => {
    for (let i = 0; i < 120; i++) {
      const state = await engine.docker('inspect', '--format', '{{.State.Health.Status}}', container(service))
      if (state === 'healthy') return
      await sleep(1_000)
    }
    throw new Error(`${service} is not healthy: ${await engine.docker('logs', '--tail', '20', container(service))}`)
  }

  beforeAll(async () => {
    engine = await startDockerEngine()
    await importBaseImage(engine, 'icp-test-base')
    const env = { ...process.env, DOCKER_HOST: `unix://${engine.socketPath}`, DOCKER_BUILDKIT: '0' }
    const args = ['build', '--network', 'host', '--build-arg', 'BASE_IMAGE=icp-test-base']
    await run('docker', [...args, '-f', 'deploy/Dockerfile', '-t', 'icp-agent', '.'], {
      env,
      maxBuffer: 64 * 1024 * 1024,
    })
    settings = join(engine.dir, 'demo.env')
    const demo = await readFile('deploy/compose/demo.env', 'utf8')
    await writeFile(settings, `${demo}\nDOCKER_SOCKET=${engine.socketPath}\nHEALTH_PORT=0\n`)
  }, 600_000)

  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
  }, 60_000)

  it('adds little to its base, and starts by its entry point with arguments alone', async () => {
    const size = async (image: string) => Number(await engine.docker('inspect', '--format', '{{.Size}}', image))
    expect((await size('icp-agent')) - (await size('icp-test-base'))).toBeLessThan(60 * 1024 * 1024)
    expect(await engine.docker('run', '--rm', '--network', 'none', 'icp-agent', 'version')).toMatch(/\d+\.\d+\.\d+/)
    await expect(
      engine.docker('run', '--rm', '--network', 'none', 'icp-agent', '--config=/nowhere.yaml'),
    ).rejects.toThrow(/agent\.tenant_id/)
  })

  it('says in one line what is wrong when callers are in another PID namespace', async () => {
    // Without `pid: host` a caller in another container has no pid that the agent can see.
    const common = ['--network', 'none', '--volume', `${engine.dir}/pidless:/run/spire/sockets`]
    const environment = ['TENANT_ID=0d3e0000-0000-4000-8000-000000000001', 'NODE_ID=n'].flatMap((pair) => [
      '--env',
      `ICP_AGENT_AGENT__${pair}`,
    ])
    const id = await engine.docker('run', '--detach', ...common, ...environment, 'icp-agent')
    try {
      await until(async () => (await engine.docker('logs', id)).includes('Workload API Server started'))
      const call = ['icp-agent', 'api', 'fetch', 'x509', '--timeout', '5s']
      await expect(engine.docker('run', '--rm', ...common, ...call)).rejects.toThrow(/hostPID|pid: host/)
      expect(await engine.docker('logs', id)).toMatch(/hostPID|pid: host/)
    } finally {
      await engine.docker('rm', '--force', id)
    }
  })

  it('runs as the chart has it: as root with one capability, on a root file system that is read-only', async () => {
    const values = ['agent.tenantId=0d3e0000-0000-4000-8000-000000000001', 'agent.icpServiceUrl=https://127.0.0.1:1']
    const set = values.flatMap((value) => ['--set', value])
    const { stdout } = await ran(await helmBinary(), ['template', 'icp-agent', 'helm/icp-agent', ...set])
    const manifests = parseAllDocuments(stdout).map((document) => document.toJS())
    const config = manifests.find(({ kind }) => kind === 'ConfigMap').data['config.yaml']
    const pod = manifests.find(({ kind }) => kind === 'DaemonSet').spec.template.spec
    const [{ args, securityContext: allowed }] = pod.containers
    const dir = join(engine.dir, 'as-in-a-pod')
    await mkdir(join(dir, 'token'), { recursive: true })
    await mkdir(join(dir, 'config'))
    await writeFile(join(dir, 'token', 'token'), 'a token')
    await writeFile(join(dir, 'config', 'config.yaml'), config)
    const mounts = ['config:/etc/icp-agent:ro', 'token:/var/run/secrets/icp-agent:ro', 'sockets:/run/spire/sockets']
    const flags = [
      ...(pod.hostPID ? ['--pid', 'host'] : []),
      ...(allowed.readOnlyRootFilesystem ? ['--read-only'] : []),
      ...(allowed.allowPrivilegeEscalation ? [] : ['--security-opt', 'no-new-privileges']),
      ...allowed.capabilities.drop.flatMap((name: string) => ['--cap-drop', name]),
      ...allowed.capabilities.add.flatMap((name: string) => ['--cap-add', name]),
      ...['--user', String(allowed.runAsUser), '--network', 'none', '--env', 'NODE_NAME=worker-1'],
      ...[...mounts, 'data:/var/lib/icp-agent'].flatMap((mount) => ['--volume', `${dir}/${mount}`]),
    ]
    const id = await engine.docker('run', '--detach', ...flags, 'icp-agent', ...args)
    try {
      await until(async () => (await engine.docker('logs', id)).includes('Workload API Server started'))
      const health = await engine.docker('exec', id, 'curl', '-fs', 'http://localhost:8080/healthz')
      expect(JSON.parse(health).status).toMatch(/starting|degraded/)
      const status = await engine.docker('exec', id, 'curl', '-s', 'http://localhost:8080/status')
      expect(JSON.parse(status).agent).toMatchObject({ node_id: 'worker-1' })
      await engine.docker('exec', id, 'icp-agent', 'validate', '-c', '/etc/icp-agent/config.yaml')
      expect(await engine.docker('logs', id)).not.toContain('SYS_PTRACE')
    } finally {
      await engine.docker('rm', '--force', id)
    }
  }, 120_000)

  it('gives two workloads of one image and user each its own identity, by label', async () => {
    await compose('up', '-d', '--no-build')
    await Promise.all(['icp-agent', 'web', 'billing'].map(healthy))
    expect((await identity('web')).map((svid) => svid.spiffe_id)).toEqual(['spiffe://demo.example/web'])
    expect((await identity('billing')).map((svid) => svid.spiffe_id)).toEqual(['spiffe://demo.example/billing'])
    const status = await engine.docker('exec', container('icp-agent'), 'curl', '-fsS', 'http://localhost:8080/healthz')
    expect(JSON.parse(status)).toEqual({ status: 'healthy' })
  }, 180_000)

  it('keeps the identities of workloads when the agent is made again and the server is away', async () => {
    const [before] = await identity('web')
    // The server shares the agent's network, which goes with the old container: it is away from here on.
    await compose('up', '-d', '--no-build', '--force-recreate', '--no-deps', 'icp-agent')
    await healthy('icp-agent')
    expect(await identity('web')).toEqual([before])
    const log = await engine.docker('logs', container('web'))
    expect(log).not.toContain('−')
  }, 180_000)

  it('leaves nothing behind when it is taken down', async () => {
    await compose('down', '--volumes')
    expect(await engine.docker('ps', '--all', '--quiet', '--filter', `name=${PROJECT}`)).toBe('')
    expect(await engine.docker('volume', 'ls', '--quiet')).toBe('')
    expect(await engine.docker('network', 'ls', '--quiet', '--filter', `name=${PROJECT}`)).toBe('')
  }, 120_000)
})
