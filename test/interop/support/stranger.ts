import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { built, run } from './programs.js'

/** An empty folder into which somebody has installed the npm package as it is handed out; nothing else is in reach. */
export async function strangersFolder(directory: string): Promise<string> {
  const sources = ['agent', 'attestors', 'proto', 'dev', 'scripts', 'package.json', 'package-lock.json']
  const pages = [
    'README.md',
    'CHANGELOG.md',
    'SECURITY.md',
    'tsconfig.json',
    'tsconfig.build.json',
    'tsconfig.client.json',
  ]
  const out = await built('npm-package', [...sources, ...pages], (target) => [
    { argv: ['node', 'scripts/package.mjs', '--out', target, '--arch', process.arch] },
  ])
  const [tarball] = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('there is no npm package')
  const folder = join(directory, 'stranger')
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', resolve(out, tarball)], { cwd: folder })
  return folder
}

/** Compiles a program of that folder, with every declaration checked; only Node's types are added. */
export async function compileThere(folder: string, program: string): Promise<void> {
  cpSync(program, join(folder, 'program.ts'))
  mkdirSync(join(folder, 'node_modules', '@types'))
  for (const name of ['@types/node', 'undici-types']) {
    symlinkSync(resolve('node_modules', name), join(folder, 'node_modules', name))
  }
  const options = [
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--types',
    'node',
    '--skipLibCheck',
    'false',
  ]
  await run(resolve('node_modules/.bin/tsc'), [...options, 'program.ts'], { cwd: folder })
}
