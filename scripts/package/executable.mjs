// The agent as a single executable: Node itself, with the bundle and the native part inside.
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
    // V8 has to have compiled the code on the architecture itself, and a start from source takes as long again.
    const useCodeCache = arch === process.arch
    copyFileSync(node, bare)
    chmodSync(bare, 0o755)
    // Before the bundle is in it: afterwards it would be taken for garbage.
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
        // Node heeds no NODE_OPTIONS then, which could open its debugger before a line of ours runs. Not 'none': the
        // heap's size comes in this way (agent/main/start.ts).
        execArgvExtension: 'cli',
        assets: { 'koffi.node': join(koffiPackage(arch), `linux_${arch}`, 'koffi.node') },
      }),
    )
    // The version that it will run on, so that its code cache counts; a fixed seed, so that it is the same each time.
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
    // EACCES: a directory of PATH may not be searched, or holds a file of that name that is no program.
    if (error?.code === 'ENOENT' || error?.code === 'EACCES') continue
    if (status === 0) return
    throw new Error(`${tool} failed: ${error?.message ?? stderr}`)
  }
  say(`No strip for ${arch} is installed (${STRIP[arch][0]}): its executable is larger than it could be.`)
}
