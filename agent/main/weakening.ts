/**
 * Variables that Node and the libraries read by themselves, and by which the agent would verify less, run foreign code,
 * or write down secrets. docs/decisions/0004-environment.md says for each who reads it and what it does.
 */
const WEAKENING: readonly string[] = [
  // Node
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'NODE_PATH',
  'NODE_PRESERVE_SYMLINKS',
  'NODE_PRESERVE_SYMLINKS_MAIN',
  'NODE_COMPILE_CACHE',
  'NODE_DEBUG',
  'NODE_DEBUG_NATIVE',
  'NODE_V8_COVERAGE',
  'NODE_REDIRECT_WARNINGS',
  'NODE_UNIQUE_ID',
  'NODE_INSPECT_RESUME_ON_START',
  'WATCH_REPORT_DEPENDENCIES',
  // OpenSSL
  'OPENSSL_CONF',
  'OPENSSL_CONF_INCLUDE',
  'OPENSSL_MODULES',
  'OPENSSL_ENGINES',
  'OPENSSL_ia32cap',
  'OPENSSL_armcap',
  'SSLKEYLOGFILE',
  // @grpc/grpc-js
  'GRPC_TRACE',
  'GRPC_NODE_TRACE',
  'GRPC_NODE_DEBUG_SEND_ERROR_DETAILS',
  // yaml
  'LOG_TOKENS',
  'LOG_STREAM',
  // @bufbuild/protobuf
  'BUF_BIGINT_DISABLE',
]

/** What of NODE_OPTIONS stays in force, without `--` and `no-`: sizes, looks, and what only makes Node stricter. */
const HARMLESS: ReadonlySet<string> = new Set([
  'max-old-space-size',
  'max-old-space-size-percentage',
  'max-semi-space-size',
  'max-heap-size',
  'huge-max-old-generation-size',
  'v8-pool-size',
  'use-largepages',
  'secure-heap',
  'secure-heap-min',
  'stack-trace-limit',
  'enable-source-maps',
  'warnings',
  'deprecation',
  'disable-warning',
  'trace-warnings',
  'trace-deprecation',
  'title',
  'dns-result-order',
  'network-family-autoselection',
  'network-family-autoselection-attempt-timeout',
  'enable-network-family-autoselection',
  'disable-sigusr1',
  'zero-fill-buffers',
  'enable-fips',
  'force-fips',
  'tls-min-v1.2',
  'tls-min-v1.3',
  'tls-max-v1.3',
  // The agent names the authorities of each connection itself.
  'use-bundled-ca',
  'use-openssl-ca',
  'use-system-ca',
])
/** Where `no-` takes a protection away. */
const NEVER_OFF: ReadonlySet<string> = new Set(['disable-sigusr1', 'zero-fill-buffers', 'enable-fips', 'force-fips'])

export interface Weakening {
  /** What is without effect, fit to be shown: `OPENSSL_CONF`, `NODE_OPTIONS (--require)`. No value is among it. */
  readonly ignored: readonly string[]
  /** The names of the variables that must go. */
  readonly variables: readonly string[]
  /** What of NODE_OPTIONS stays, as its own text; empty: nothing. */
  readonly nodeOptions: string
}

/** What in an environment weakens a process of Node. An empty variable is none. */
export function weakeningOf(env: Readonly<Record<string, string | undefined>>): Weakening {
  const variables = WEAKENING.filter((name) => env[name] && !isHarmlessValue(name, env[name]))
  const options = optionsOf(env['NODE_OPTIONS'] ?? '')
  const kept = options.filter(({ name }) => harmless(name))
  const lost = [...new Set(options.filter(({ name }) => !harmless(name)).map(({ name }) => shown(name)))]
  return {
    ignored: [...variables, ...(lost.length > 0 ? [`NODE_OPTIONS (${lost.join(', ')})`] : [])],
    variables,
    nodeOptions: kept.map(({ words }) => words.map(quoted).join(' ')).join(' '),
  }
}

/** Node trusts everybody at `0` alone. */
function isHarmlessValue(name: string, value: string): boolean {
  return name === 'NODE_TLS_REJECT_UNAUTHORIZED' && value !== '0'
}

interface Option {
  /** `--max-old-space-size`, as Node knows it. */
  readonly name: string
  readonly words: readonly string[]
}

/** The options of NODE_OPTIONS, each with the words after it that begin no other. */
function optionsOf(text: string): readonly Option[] {
  const options: { name: string; words: string[] }[] = []
  for (const word of wordsOf(text)) {
    const last = options.at(-1)
    if (last && !word.startsWith('-')) last.words.push(word)
    else options.push({ name: (word.split('=', 1)[0] ?? '').replaceAll('_', '-'), words: [word] })
  }
  return options
}

/** As Node splits it: at blanks that are not between double quotes, in which a backslash takes the next one as it is. */
function wordsOf(text: string): readonly string[] {
  const words = text.match(/(?:"(?:\\.|[^"\\])*"?|[^\s"])+/gs) ?? []
  return words.map((word) =>
    word.replace(/"((?:\\.|[^"\\])*)"?/gs, (_, inner: string) => inner.replace(/\\(.)/gs, '$1')),
  )
}

function quoted(word: string): string {
  return /[\s"\\]/.test(word) ? `"${word.replace(/["\\]/g, '\\$&')}"` : word
}

function harmless(option: string): boolean {
  if (!option.startsWith('--')) return false
  const name = option.slice(2)
  if (HARMLESS.has(name)) return true
  const positive = name.replace(/^no-/, '')
  return positive !== name && HARMLESS.has(positive) && !NEVER_OFF.has(positive)
}

/** An option's name and nothing that a mistake may have put in its place. */
function shown(option: string): string {
  return /^--?[A-Za-z][\w.-]{0,60}$/.test(option) ? option : 'what is no option'
}
