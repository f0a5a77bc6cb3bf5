import { join } from 'node:path'
import type { DialectName } from '../../../agent/client/dialect-name.js'
import { built, CLIENTS, type Program } from './programs.js'

/** A program over agent/client, in one of the dialects. */
export async function nodeProgram(dialect: DialectName): Promise<Program> {
  const directory = join(CLIENTS, 'node')
  const out = await built('node', [directory, 'agent', 'proto', 'package-lock.json'], (target) => {
    const options = ['--bundle', '--packages=external', '--platform=node', '--target=node20', '--format=esm']
    const outfile = `--outfile=${join(target, 'client.mjs')}`
    return [
      { argv: ['node_modules/.bin/esbuild', join(directory, 'main.ts'), ...options, outfile, '--log-level=warning'] },
    ]
  })
  return { command: process.execPath, args: [join(out, 'client.mjs'), dialect] }
}
