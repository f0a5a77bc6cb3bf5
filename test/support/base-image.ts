import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, cp, mkdtemp, rename, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { DockerEngine } from './docker-engine.js'
import { pinnedNode, pinnedNodeBinary } from './pinned-node.js'

const run = promisify(execFile)
const { version } = pinnedNode()
const ARCHIVE = join(tmpdir(), `icp-agent-base-image-${version}.tar`)
/** Where Debian keeps the authorities that TLS trusts; a machine may have some of its own there. */
const AUTHORITIES = 'etc/ssl/certs/ca-certificates.crt'

/** A Debian with the Node that images have and this machine's npm, imported into the engine: what an image is built on without a registry. */
export async function importBaseImage(engine: DockerEngine, name: string): Promise<void> {
  if (!existsSync(ARCHIVE)) await makeArchive()
  await engine.docker('import', '--change', `ENV NODE_EXTRA_CA_CERTS=/${AUTHORITIES}`, ARCHIVE, name)
}

async function makeArchive(): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'icp-agent-base-'))
  try {
    const options = ['--variant=minbase', '--include=ca-certificates,curl,libatomic1']
    await run('debootstrap', [...options, 'bookworm', root], { maxBuffer: 64 * 1024 * 1024 })
    const { stdout: npm } = await run('npm', ['root', '-g'])
    await copyFile(await pinnedNodeBinary(), join(root, 'usr/local/bin/node'))
    await cp(join(npm.trim(), 'npm'), join(root, 'usr/local/lib/node_modules/npm'), { recursive: true })
    await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'))
    await copyFile(`/${AUTHORITIES}`, join(root, AUTHORITIES))
    await rm(join(root, 'var/cache/apt/archives'), { recursive: true, force: true })
    await rm(join(root, 'var/lib/apt/lists'), { recursive: true, force: true })
    const archive = join(dirname(root), `icp-agent-base-${process.pid}.tar`)
    await run('tar', ['-C', root, '-cf', archive, '.'])
    await rename(archive, ARCHIVE)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}
