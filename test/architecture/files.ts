import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSource, type Source } from './source.js'

const IGNORED = new Set(['node_modules', 'dist', '.git', 'coverage', '.tmp', 'target', '__pycache__'])

/** Every file that belongs to the repository (also one that is not committed yet), as git says. */
export function repositoryFiles(): string[] {
  if (!existsSync('.git')) return walk('.')
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    encoding: 'utf8',
  })
  return list.split('\0').filter((path) => path !== '' && existsSync(path))
}

/** The TypeScript files in these folders, taken apart. */
export function sourcesIn(...folders: readonly string[]): Source[] {
  return repositoryFiles()
    .filter((path) => path.endsWith('.ts') && folders.some((folder) => path.startsWith(`${folder}/`)))
    .sort()
    .map((path) => parseSource(path, readFileSync(path, 'utf8')))
}

function walk(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (IGNORED.has(entry.name)) return []
    const path = join(directory, entry.name)
    return entry.isDirectory() ? walk(path) : entry.isFile() ? [path] : []
  })
}
