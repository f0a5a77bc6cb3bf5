import { posix } from 'node:path'
import {
  ANY,
  COMMON,
  DEFECTS,
  DOORS,
  EXCEPTIONS,
  FOLDERS,
  LAZY_FOLDERS,
  MAX_LINES,
  NODE_MODULES,
  PACKAGES,
} from './rules.js'
import type { Import, Source } from './source.js'

const GENERATED = 'proto/gen/'

/** What breaks a rule, one line each: `agent/svids/plan.ts:12 imports …`. Empty when the house is in order. */
export function violations(sources: readonly Source[]): string[] {
  return [...sources.flatMap(ofFile), ...circles(sources)]
}

/** Files that are too long, one line each. Not a violation: `npm run check` shows them. */
export function longFiles(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path, lines }) => lines > MAX_LINES && !path.startsWith(GENERATED))
    .map(({ path, lines }) => `${path} has ${lines} lines, more than ${MAX_LINES}`)
}

/** A test may do what it wants but leave something unfinished or untyped. */
export function defects(source: Source): string[] {
  // An empty block is blank in `code` also where a comment in it says why it is empty; that one is the linter's.
  return DEFECTS.flatMap(({ pattern, in: where, what }) => {
    const match = pattern.exec(source[where])
    if (!match || (what === 'an empty catch' && commented(source, match))) return []
    return [`${source.path}:${lineOf(source[where], match.index)} has ${what}`]
  })
}

function ofFile(source: Source): string[] {
  const folder = folderOf(source.path)
  if (folder === null) return [`${source.path} lies in no folder of the architecture`]
  const found = source.imports.flatMap((one) => ofImport(source.path, folder, one))
  if (source.path.startsWith(GENERATED)) return found
  if (!/^[a-z0-9]+(-[a-z0-9]+)*\.ts$/.test(posix.basename(source.path))) found.push(`${source.path} is not kebab-case`)
  for (const { pattern, what, allowed } of DOORS) {
    const match = pattern.exec(source.code)
    if (match && !allows(allowed, source.path, what)) {
      found.push(`${source.path}:${lineOf(source.code, match.index)} uses ${what}; use the port`)
    }
  }
  const any = ANY.exec(source.code)
  if (any) found.push(`${source.path}:${lineOf(source.code, any.index)} has any`)
  return [...found, ...defects(source)]
}

function ofImport(path: string, folder: string, { specifier, kind, line }: Import): string[] {
  const says = (text: string) => [`${path}:${line} ${text}`]
  if (specifier.startsWith('.')) {
    const target = resolve(path, specifier)
    if (!specifier.endsWith('.js')) return says(`imports ${specifier} without .js`)
    const to = folderOf(target)
    if (to === null) return says(`imports ${target}, which lies in no folder of the architecture`)
    if (to !== folder && LAZY_FOLDERS.includes(to) && kind === 'static')
      return says(`imports ${to} at once; use import()`)
    if (to === folder || within(COMMON, target) || within(FOLDERS[folder] ?? [], target)) return []
    if (excepted(path, target)) return []
    return says(`imports ${target}; ${folder} may not`)
  }
  if (specifier.startsWith('node:')) {
    const allowed = NODE_MODULES[specifier]
    return allowed === undefined || allows(allowed, path, specifier) ? [] : says(`imports ${specifier}; use the port`)
  }
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  const allowed = PACKAGES[name]
  if (allowed === undefined) return says(`imports ${name}, which is in no list of packages`)
  return allows(allowed, path, name) ? [] : says(`imports ${name}; only ${allowed.join(', ')} may`)
}

/** Circles of imports that are there when the program runs; types are gone by then. */
function circles(sources: readonly Source[]): string[] {
  const graph = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.flatMap(({ specifier, kind }) =>
        specifier.startsWith('.') && kind === 'static' ? [resolve(path, specifier)] : [],
      ),
    ]),
  )
  const done = new Set<string>()
  const found: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) found.push(`circle: ${[...trail.slice(trail.indexOf(path)), path].join(' → ')}`)
    if (done.has(path) || trail.includes(path)) return
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) visit(path, [])
  return found
}

function folderOf(path: string): string | null {
  return Object.keys(FOLDERS).find((folder) => path === folder || path.startsWith(`${folder}/`)) ?? null
}

function within(allowed: readonly string[], path: string): boolean {
  return allowed.some((one) => path === one || path.startsWith(`${one}/`))
}

/** Whether the file may use a package, a module or a door. */
function allows(allowed: readonly string[], path: string, what: string): boolean {
  return within(allowed, path) || excepted(path, what)
}

function excepted(path: string, what: string): boolean {
  return EXCEPTIONS.some(({ file, may }) => file === path && may === what)
}

/** The file that a relative import means. */
export function resolve(from: string, specifier: string): string {
  return posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.ts')
}

function commented(source: Source, match: RegExpExecArray): boolean {
  return source.comments.slice(match.index, match.index + match[0].length).trim() !== ''
}

function lineOf(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}
