import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { TENANT, temporaryDirectory } from '../../support/agent.js'
import { bundlePrograms } from '../../support/bundle-programs.js'
import { eventually } from '../../support/until.js'
import { FuseMount } from '../support/fuse.js'

const hasFuse = process.getuid?.() === 0 && existsSync('/dev/fuse')

test.runIf(hasFuse).each([
  ['agent.data_dir', (hung: string) => ({ agent: { data_dir: `${hung}/data` } })],
  ['agent.socket_path', (hung: string) => ({ agent: { socket_path: `${hung}/run/agent.sock` } })],
  ['logging.file_path', (hung: string) => ({ logging: { file_path: `${hung}/log/agent.log` } })],
  ['security.cache_path', (hung: string) => ({ security: { cache_path: `${hung}/cache/svid.cache` } })],
] as const)('a disk that hangs at the start under %s is named, and SIGTERM ends the wait', async (setting, where) => {
  await using dir = await temporaryDirectory()
  const { agent } = await bundlePrograms(process.cwd(), join(dir.path, 'programs'), { agent: 'agent/main/index.ts' })
  await writeFile(join(dir.path, 'file'), 'x')
  await using fuse = await FuseMount.mount(join(dir.path, 'mnt'), join(dir.path, 'file'))
  fuse.stop()
  const more: Readonly<Record<string, object>> = where(fuse.directory)
  const config = {
    ...more,
    agent: {
      tenant_id: TENANT,
      node_id: 'hung',
      data_dir: join(dir.path, 'data'),
      socket_path: join(dir.path, 'run', 'agent.sock'),
      ...more['agent'],
    },
    icp_service: { address: 'https://127.0.0.1:1' },
    attestation: { type: 'unix' },
    health: { enabled: false },
  }
  await writeFile(join(dir.path, 'config.yaml'), JSON.stringify(config))
  const child = spawn(process.execPath, [agent, '-c', join(dir.path, 'config.yaml')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] ?? '' },
  })
  try {
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
    })
    await eventually(
      () => output,
      (text) => text.includes('The start waits for a disk that does not answer'),
    )
    expect(output).toContain(`"waits_for":"${setting}"`)
    expect(output).toContain(`"path":"${fuse.directory}/`)
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  } finally {
    child.kill('SIGKILL')
  }
})
