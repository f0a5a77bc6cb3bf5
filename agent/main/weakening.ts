/**
 * Variables that Node and the libraries read by themselves and that would make the agent verify less, run foreign code or
 * write secrets. docs/decisions/0004-environment.md lists for each its reader and effect.
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

/** Allowed options of NODE_OPTIONS, without `--` and `no-`: sizes, output, and options that make Node stricter. */
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
  // Without effect: the agent sets the authorities of each connection itself.
  'use-bundled-ca',
  'use-openssl-ca',
  'use-system-ca',
])
/** Options whose `no-` form removes a protection. */
const NEVER_OFF: ReadonlySet<string> = new Set(['disable-sigusr1', 'zero-fill-buffers', 'enable-fips', 'force-fips'])

export interface Weakening {
  /** The removed variables for display: `OPENSSL_CONF`, `NODE_OPTIONS (--require)`. Contains no values. */
  readonly ignored: readonly string[]
  /** The names of the variables to remove. */
  readonly variables: readonly string[]
  /** The remaining text of NODE_OPTIONS; empty: nothing. */
  readonly nodeOptions: string
}

/** Finds variables that weaken a Node process. Empty variables are ignored. */
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

/** Only at `0` does Node skip verification. */
function isHarmlessValue(name: string, value: string): boolean {
  return name === 'NODE_TLS_REJECT_UNAUTHORIZED' && value !== '0'
}

interface Option {
  /** The name in Node's spelling, such as `--max-old-space-size`. */
  readonly name: string
  readonly words: readonly string[]
}

/** The options of NODE_OPTIONS, each with the following words that are not options. */
function optionsOf(text: string): readonly Option[] {
  const options: { name: string; words: string[] }[] = []
  for (const word of wordsOf(text)) {
    const last = options.at(-1)
    if (last && !word.startsWith('-')) last.words.push(word)
    else options.push({ name: (word.split('=', 1)[0] ?? '').replaceAll('_', '-'), words: [word] })
  }
  return options
}

/** Splits like Node: at blanks outside double quotes, in which a backslash escapes the next character. */
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

/** The name of an option, without anything that a mistake may have appended. */
function shown(option: string): string {
  return /^--?[A-Za-z][\w.-]{0,60}$/.test(option) ? option : 'not an option'
}
