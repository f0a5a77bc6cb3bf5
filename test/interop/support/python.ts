import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { built, CLIENTS, type Program } from './programs.js'

/** A client in Python, in a virtual environment that holds what its requirements.txt pins. */
export async function pythonProgram(name: string): Promise<Program> {
  const directory = join(CLIENTS, name)
  const requirements = join(directory, 'requirements.txt')
  const out = await built(`python-${name}`, [requirements], (target) => [
    { argv: ['python3', '-m', 'venv', join(target, 'venv')] },
    { argv: [join(target, 'venv', 'bin', 'pip'), 'install', '--quiet', '-r', requirements] },
  ])
  return { command: join(out, 'venv', 'bin', 'python'), args: [join(directory, 'workload.py')] }
}

/** The version that a requirements.txt pins. */
export function pinned(name: string, distribution: string): string {
  const requirements = readFileSync(join(CLIENTS, name, 'requirements.txt'), 'utf8')
  return new RegExp(`^${distribution}==(\\S+)$`, 'm').exec(requirements)?.[1] ?? ''
}
