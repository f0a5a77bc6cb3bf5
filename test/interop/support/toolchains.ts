import { ask } from './programs.js'

/** What must be there to build and run clients of a language. */
export interface Toolchain {
  /** Null where everything is there; else what is missing, for the name of the skipped tests. */
  readonly missing: string | null
}

/** The Go toolchain; the proxied download of a newer one is not relied on. */
export function go(needed: readonly [number, number] = [1, 24]): Toolchain {
  return { missing: older('go', ask('go', 'version'), /go(\d+)\.(\d+)/, needed) }
}

export function cargo(): Toolchain {
  return { missing: older('cargo', ask('cargo', '--version'), /cargo (\d+)\.(\d+)/, [1, 88]) }
}

/** Python with what makes virtual environments. */
export function python(): Toolchain {
  const version = ask('python3', '--version')
  const missing = older('python3', version, /Python (\d+)\.(\d+)/, [3, 10])
  if (missing !== null) return { missing }
  return { missing: ask('python3', '-c', 'import venv, ensurepip') === null ? 'python3 has no venv' : null }
}

export function java(): Toolchain {
  const missing = older('javac', ask('javac', '-version'), /javac (\d+)(?:\.(\d+))?/, [11, 0])
  return { missing: missing ?? (ask('mvn', '--version') === null ? 'mvn is not installed' : null) }
}

function older(
  name: string,
  answer: string | null,
  pattern: RegExp,
  [major, minor]: readonly [number, number],
): string | null {
  if (answer === null) return `${name} is not installed`
  const [, foundMajor = 0, foundMinor = 0] = (pattern.exec(answer) ?? []).map(Number)
  if (foundMajor > major || (foundMajor === major && foundMinor >= minor)) return null
  return `${name} is ${foundMajor}.${foundMinor}, and ${major}.${minor} is needed`
}
