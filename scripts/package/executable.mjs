// The agent as a single executable: Node with the bundle and the native library inside.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { koffiPackage, nodePackage, run } from './fetch.mjs'
import { say } from './paths.mjs'

/** Programs that can strip a foreign binary; the first one that is installed. */
const STRIP = { x64: ['x86_64-linux-gnu-strip', 'llvm-strip'], arm64: ['aarch64-linux-gnu-strip', 'llvm-strip'] }

/** Writes the executable for an architecture (x64, arm64) to a file. */
export function makeExecutable(arch, code, file) {
  const node = join(nodePackage(arch), 'bin', 'node')
  const work = mkdtempSync(join(tmpdir(), 'icp-sea-'))
  try {
    const main = join(work, 'icp-agent.cjs')
    const config = join(work, 'sea.json')
    const bare = join(work, 'node')
    // V8 must compile the code on the same architecture; a start from source takes twice as long.
    const useCodeCache = arch === process.arch
    copyFileSync(node, bare)
    chmodSync(bare, 0o755)
    // Stripped before the bundle is inside, which strip would remove.
    strip(arch, bare)
    writeFileSync(main, code.replace(/^#!.*\n/, '\n'))
    writeFileSync(
      config,
      JSON.stringify({
        main: 'icp-agent.cjs',
        executable: 'node',
        output: 'icp-agent',
        disableExperimentalSEAWarning: true,
        useCodeCache,
        execArgv: ['--disable-sigusr1', '--max-semi-space-size=2'],
        // Then Node ignores NODE_OPTIONS, which could open its debugger before our first line runs. Not 'none', because the
        // size of the heap is set in this way (agent/main/start.ts).
        execArgvExtension: 'cli',
        assets: { 'koffi.node': join(koffiPackage(arch), `linux_${arch}`, 'koffi.node') },
      }),
    )
    // The same version as at run time, so that its code cache is accepted; a fixed seed, so that the output is reproducible.
    const builder = join(nodePackage(process.arch), 'bin', 'node')
    run(builder, ['--random-seed=1', '--build-sea', 'sea.json'], work)
    copyFileSync(join(work, 'icp-agent'), file)
    chmodSync(file, 0o755)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function strip(arch, file) {
  for (const tool of arch === process.arch ? ['strip', ...STRIP[arch]] : STRIP[arch]) {
    const { status, stderr, error } = spawnSync(tool, [file], { encoding: 'utf8' })
    // EACCES: a directory of PATH may not be searched, or has a file of that name that is not a program.
    if (error?.code === 'ENOENT' || error?.code === 'EACCES') continue
    if (status === 0) return
    throw new Error(`${tool} failed: ${error?.message ?? stderr}`)
  }
  say(`No strip for ${arch} is installed (${STRIP[arch][0]}): its executable is larger than it could be.`)
}
