import { readFileSync } from 'node:fs'
import { readFolders } from './folder-table.js'

/** Who may import whom: the table of docs/architecture.md, which is where a row is added or changed. */
export const FOLDERS = readFolders(readFileSync('docs/architecture.md', 'utf8'))

/** Lie below all: every file may import them. */
export const COMMON: readonly string[] = ['agent/errors.ts', 'agent/lib']

/** Loaded only when asked for: other folders import it with `import()`, or its types. */
export const LAZY_FOLDERS: readonly string[] = ['dev/icp-server']

/** npm packages and the folders or files that may import them. What is not listed may be imported by nobody. */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  '@bufbuild/protobuf': ['proto', 'agent/workload-api', 'agent/client'],
  '@grpc/grpc-js': ['agent/workload-api', 'agent/client'],
  '@peculiar/webcrypto': ['agent/crypto'],
  '@peculiar/x509': ['agent/crypto', 'dev/icp-server'],
  'reflect-metadata': ['agent/crypto', 'dev/icp-server'],
  fastify: ['agent/observability/http-server.ts', 'agent/observability/health-routes.ts', 'agent/admin/app.ts'],
  jose: ['agent/crypto', 'agent/identity', 'dev/icp-server'],
  koffi: ['agent/platform/koffi-libc.ts'],
  pino: ['agent/platform/pino-log.ts'],
  '@opentelemetry/api': ['agent/telemetry'],
  '@opentelemetry/otlp-transformer': ['agent/telemetry'],
  '@opentelemetry/resources': ['agent/telemetry'],
  '@opentelemetry/sdk-metrics': ['agent/telemetry'],
  '@opentelemetry/sdk-trace': ['agent/telemetry'],
  pkijs: ['agent/crypto/pkcs12.ts'],
  'prom-client': ['agent/platform/prom-metrics.ts'],
  systeminformation: ['agent/platform/node-description.ts'],
  undici: ['agent/platform'],
  yaml: ['agent/config'],
  // Where texts from outside become values (configuration, the server's answers, the agent's own files), and back.
  zod: [
    'agent/admin',
    // A table that the agent never loads: its schema is published, and tests read records by it.
    'agent/audit/records.ts',
    'agent/config',
    'agent/icp',
    'agent/agent-svid',
    'agent/svids/sealed-cache',
    'dev/icp-server',
    'agent/main/dev-icp-server.ts',
    'agent/publishing',
    'attestors',
  ],
}

/** Modules of Node that reach the world; the others (crypto, util, path, …) are free. */
export const NODE_MODULES: Readonly<Record<string, readonly string[]>> = {
  'node:fs': ['agent/platform', 'agent/main', 'dev/icp-server/state.ts'],
  'node:fs/promises': ['agent/platform', 'agent/main', 'dev/icp-server/state.ts'],
  'node:child_process': ['agent/platform'],
  'node:worker_threads': ['agent/platform'],
  'node:http': ['agent/platform', 'dev/icp-server'],
  'node:https': ['agent/platform', 'agent/client', 'dev/icp-server'],
  'node:http2': ['agent/platform'],
  'node:dns': ['agent/platform'],
  'node:dgram': [],
  'node:cluster': ['agent/platform/cluster-worker.ts'],
  'node:vm': [],
  'node:timers': ['agent/platform'],
  'node:timers/promises': ['agent/platform'],
  'node:perf_hooks': ['agent/platform'],
  'node:process': ['agent/platform', 'agent/main'],
  'node:os': ['agent/platform', 'agent/main'],
  'node:module': ['agent/platform', 'agent/main'],
}

/** Clock, chance and environment come in through ports. */
export const DOORS: readonly {
  readonly pattern: RegExp
  readonly what: string
  readonly allowed: readonly string[]
}[] = [
  { pattern: /\bDate\.now\b/, what: 'Date.now', allowed: ['agent/platform', 'agent/main'] },
  { pattern: /\bnew Date\(\s*\)/, what: 'new Date()', allowed: ['agent/platform', 'agent/main'] },
  { pattern: /\bperformance\.now\b|\bprocess\.hrtime\b/, what: 'performance.now', allowed: ['agent/platform'] },
  { pattern: /\bset(?:Timeout|Interval)\s*\(/, what: 'a timer', allowed: ['agent/platform'] },
  { pattern: /\bAbortSignal\.timeout\b/, what: 'AbortSignal.timeout', allowed: ['agent/platform'] },
  { pattern: /\bMath\.random\b/, what: 'Math.random', allowed: [] },
  { pattern: /\bprocess\.env\b/, what: 'process.env', allowed: ['agent/platform', 'agent/main'] },
  { pattern: /\bprocess\.(?:exit|abort)\b/, what: 'process.exit', allowed: ['agent/platform/exit-now.ts'] },
  { pattern: /(?:\bawait|\breturn|[=(,:?])\s*fetch\s*\(/, what: 'fetch', allowed: [] },
  { pattern: /\bglobalThis\b/, what: 'globalThis', allowed: [] },
  { pattern: /\beval\s*\(|\bnew Function\s*\(/, what: 'eval', allowed: [] },
]

/** Single files that may do what their folder may not: import a file, a package or a module, or pass a door. */
export const EXCEPTIONS: readonly { readonly file: string; readonly may: string; readonly why: string }[] = [
  {
    file: 'agent/client/address.ts',
    may: 'process.env',
    why: 'A library has no main that hands it the environment, and Workload Endpoint 4 names a variable.',
  },
  {
    file: 'attestors/index.ts',
    may: 'agent/config/config.ts',
    why: 'The front door of the attestors takes their settings as the configuration has them; it needs only the type.',
  },
  {
    file: 'attestors/unix/digest-thread.ts',
    may: 'node:worker_threads',
    why: 'Executables are hashed in a thread of their own, so that a file system that hangs stalls nobody else.',
  },
  {
    file: 'attestors/unix/digest-worker.ts',
    may: 'node:worker_threads',
    why: 'The program of that thread: it stands alone, because its source is evaluated there.',
  },
  {
    file: 'attestors/unix/digest-worker.ts',
    may: 'node:fs',
    why: 'The program of that thread reads the executable that the kernel names; it can reach no port.',
  },
]

/** What is a defect wherever it stands: in code, or in a comment. */
export const DEFECTS: readonly { readonly pattern: RegExp; readonly in: 'code' | 'comments'; readonly what: string }[] =
  [
    { pattern: /\bas unknown as\b/, in: 'code', what: 'as unknown as' },
    { pattern: /^\s*export default\b/m, in: 'code', what: 'export default' },
    { pattern: /^\s*export \*(?! as\b)/m, in: 'code', what: 'a barrel (export *)' },
    { pattern: /\bcatch\s*(?:\(\s*\w+\s*\)\s*)?\{\s*\}/, in: 'code', what: 'an empty catch' },
    { pattern: /@ts-(?:ignore|nocheck|expect-error)\b/, in: 'comments', what: '@ts-ignore' },
    { pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/, in: 'comments', what: 'an unfinished place' },
  ]

/** The linter finds `any` everywhere; in the agent not even a comment may excuse it. */
export const ANY = /\bas any\b|:\s*any\b|<any>/

/** A longer file is a warning of `npm run check`: a limit that fails made fourteen files of one state. */
export const MAX_LINES = 450
