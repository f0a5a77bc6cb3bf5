import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, cpSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'

const ROOT = join(import.meta.dirname, '..', '..')

/** The agent as deploy/Dockerfile has it, a workload that opens a stream, and the pause container: archives in the directory. */
export async function makeImages(dir: string): Promise<readonly string[]> {
  const base = join(dir, 'base')
  for (const program of [process.execPath, which('curl')]) copyProgram(program, base)
  copyProgram(which('busybox'), base)
  for (const name of ['sh', 'sleep', 'chown', 'ls', 'cat', 'env', 'test', 'tail', 'readlink'])
    symlinkSync('busybox', join(base, 'usr', 'bin', name))
  for (const name of ['bin', 'sbin']) symlinkSync(`usr/bin`, join(base, name))
  mkdirSync(join(base, 'tmp'))
  chmodSync(join(base, 'tmp'), 0o1777)
  return [
    archive(dir, 'local/pause:1', pauseRoot(dir), ['/pause']),
    archive(dir, 'local/workload:1', await workloadRoot(dir, base), ['node', '/workload.cjs']),
    archive(dir, 'local/icp-agent:0.1.0', agentRoot(dir, base), ['icp-agent']),
  ]
}

/** Images of one static program each, at /usr/bin. */
export function programImage(dir: string, name: string, program: string): string {
  const root = join(dir, `root-of-${name}`)
  mkdirSync(join(root, 'usr', 'bin'), { recursive: true })
  cpSync(program, join(root, 'usr', 'bin', name))
  return archive(dir, `local/${name}:1`, root, [`/usr/bin/${name}`])
}

function which(program: string): string {
  return execFileSync('which', [program], { encoding: 'utf8' }).trim()
}

/** The program, at /usr/bin, with the libraries that it loads. */
function copyProgram(path: string, root: string): void {
  const to = (target: string) => {
    mkdirSync(dirname(join(root, target)), { recursive: true })
    return join(root, target)
  }
  cpSync(realpathSync(path), to(join('/usr/bin', path.split('/').at(-1) ?? '')))
  let libraries = ''
  try {
    libraries = execFileSync('ldd', [realpathSync(path)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    // A static one: ldd says so by failing.
  }
  for (const [library] of libraries.matchAll(/\/\S+/g)) cpSync(realpathSync(library), to(library))
}

function pauseRoot(dir: string): string {
  const root = join(dir, 'pause')
  mkdirSync(root)
  const source = join(dir, 'pause.go')
  writeFileSync(
    source,
    'package main\n\nimport (\n\t"os"\n\t"os/signal"\n\t"syscall"\n)\n\nfunc main() {\n\tstop := make(chan os.Signal, 1)\n' +
      '\tsignal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)\n\t<-stop\n}\n',
  )
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '' }
  execFileSync('go', ['build', '-ldflags', '-s -w', '-o', join(root, 'pause'), source], { env, cwd: dir })
  return root
}

async function workloadRoot(dir: string, base: string): Promise<string> {
  const root = join(dir, 'workload')
  cpSync(base, root, { recursive: true, verbatimSymlinks: true })
  await build({
    entryPoints: [join(import.meta.dirname, 'workload.ts')],
    outfile: join(root, 'workload.cjs'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20.19',
    logLevel: 'error',
  })
  return root
}

/** The layout of deploy/Dockerfile, with this machine's Node. */
function agentRoot(dir: string, base: string): string {
  const root = join(dir, 'agent')
  cpSync(base, root, { recursive: true, verbatimSymlinks: true })
  const [home, npmPackage] = [join(root, 'opt', 'icp-agent'), join(dir, 'icp-agent.tgz')]
  mkdirSync(home, { recursive: true })
  execFileSync('node', ['scripts/package.mjs', '--npm-package', npmPackage], { cwd: ROOT, stdio: 'ignore' })
  execFileSync('tar', ['-xzf', npmPackage, '--strip-components=1', '--no-same-owner', '-C', home])
  const command = join(root, 'usr', 'bin', 'icp-agent')
  writeFileSync(command, '#!/bin/sh\nexec node /opt/icp-agent/icp-agent.cjs "$@"\n', { mode: 0o755 })
  return root
}

/** An archive as `docker save` writes it. */
function archive(dir: string, name: string, root: string, entrypoint: readonly string[]): string {
  const at = join(dir, `${name.replace(/\W/g, '-')}.image`)
  mkdirSync(at)
  execFileSync('tar', ['-C', root, '--owner=0', '--group=0', '-cf', join(at, 'layer.tar'), '.'])
  const digest = createHash('sha256')
    .update(readFileSync(join(at, 'layer.tar')))
    .digest('hex')
  const config = {
    ...{ architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux' },
    config: { Entrypoint: entrypoint, Env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'NODE_ENV=production'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
  }
  writeFileSync(join(at, 'config.json'), JSON.stringify(config))
  const manifest = [{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }]
  writeFileSync(join(at, 'manifest.json'), JSON.stringify(manifest))
  execFileSync('tar', ['-C', at, '-cf', `${at}.tar`, 'manifest.json', 'config.json', 'layer.tar'])
  return `${at}.tar`
}
