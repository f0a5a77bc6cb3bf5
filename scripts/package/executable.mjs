// The agent as a single executable: Node itself, with the bundle and the native part inside.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'postject'
import { koffiPackage, nodePackage, run } from './fetch.mjs'
import { say } from './paths.mjs'

const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'
/** Programs that can strip a foreign binary; the first one that is installed. */
const STRIP = { x64: ['x86_64-linux-gnu-strip', 'llvm-strip'], arm64: ['aarch64-linux-gnu-strip', 'llvm-strip'] }

/** Writes the executable for an architecture (x64, arm64) to a file. */
export async function makeExecutable(arch, code, file) {
  const node = join(nodePackage(arch), 'bin', 'node')
  const work = mkdtempSync(join(tmpdir(), 'icp-sea-'))
  try {
    const main = join(work, 'icp-agent.cjs')
    const config = join(work, 'sea.json')
    const blob = join(work, 'sea.blob')
    // V8 has to have compiled the code on the architecture itself, and a start from source takes as long again.
    const useCodeCache = arch === process.arch
    writeFileSync(main, code.replace(/^#!.*\n/, '\n'))
    writeFileSync(
      config,
      JSON.stringify({
        main: 'icp-agent.cjs',
        output: 'sea.blob',
        disableExperimentalSEAWarning: true,
        useCodeCache,
        execArgv: ['--disable-sigusr1'],
        // Node heeds no NODE_OPTIONS then, which could open its debugger before a line of ours runs. Not 'none': the
        // heap's size comes in this way (agent/main/start.ts).
        execArgvExtension: 'cli',
        assets: { 'koffi.node': join(koffiPackage(arch), `linux_${arch}`, 'koffi.node') },
      }),
    )
    // The version that it will run on, so that its code cache counts; a fixed seed, so that it is the same each time.
    const node24 = join(nodePackage(process.arch), 'bin', 'node')
    run(node24, ['--random-seed=1', '--experimental-sea-config', 'sea.json'], work)
    const whole = join(work, 'icp-agent')
    copyFileSync(node, whole)
    chmodSync(whole, 0o755)
    // Before injecting: afterwards it would take the blob for garbage.
    strip(arch, whole)
    await inject(whole, 'NODE_SEA_BLOB', readFileSync(blob), { sentinelFuse: FUSE })
    copyFileSync(whole, file)
    chmodSync(file, 0o755)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function strip(arch, file) {
  for (const tool of arch === process.arch ? ['strip', ...STRIP[arch]] : STRIP[arch]) {
    const { status, stderr, error } = spawnSync(tool, [file], { encoding: 'utf8' })
    if (error?.code === 'ENOENT') continue
    if (status === 0) return
    throw new Error(`${tool} failed: ${stderr}`)
  }
  say(`No strip for ${arch} is installed (${STRIP[arch][0]}): its executable is larger than it could be.`)
}
