import { AgentError } from '../errors.js'
import { DEFAULT_MODES, type FilePlan, faultOfName, type JwtFile, namesOf, wantsX509 } from './file-plan.js'
import { type HclEntry, HclError, type HclValue, parseHcl } from './hcl.js'

/** A configuration file of spiffe-helper. */
export interface HelperConfig {
  readonly plan: FilePlan
  readonly directory: string
  readonly agentAddress: string | null
  readonly hint: string | null
  /** False: end after one generation. */
  readonly daemon: boolean
  /** The program to launch, and its arguments. */
  readonly command: readonly [string, ...string[]] | null
  readonly pidFile: string | null
  readonly renewSignal: string | null
}

interface HelperDraft {
  readonly texts: Map<string, string>
  readonly flags: Map<string, boolean>
  readonly modes: Map<string, number>
  jwtSvids: readonly JwtFile[]
}

const TEXTS: readonly string[] = [
  'agent_address',
  'cmd',
  'cmd_args',
  'pid_file_name',
  'cert_dir',
  'renew_signal',
  'svid_file_name',
  'svid_key_file_name',
  'svid_bundle_file_name',
  'jwt_bundle_file_name',
  'hint',
]
const FLAGS: readonly string[] = [
  'daemon_mode',
  'exit_when_ready',
  'add_intermediates_to_bundle',
  'include_federated_domains',
]
const MODES: readonly string[] = ['cert_file_mode', 'key_file_mode', 'jwt_bundle_file_mode', 'jwt_svid_file_mode']

/**
 * Reads the flat keys of a configuration of spiffe-helper. An unknown key is an error, as in spiffe-helper. Throws
 * `config.invalid`, which names the line.
 */
export function readHelperConfig(text: string, path: string): HelperConfig {
  const fail = (line: number | null, problem: string) =>
    new AgentError('config.invalid', `${path}${line === null ? '' : `:${line}`}: ${problem}`)
  const draft: HelperDraft = { texts: new Map(), flags: new Map(), modes: new Map(), jwtSvids: [] }
  try {
    for (const entry of parseHcl(text)) take(draft, entry)
  } catch (error) {
    if (error instanceof HclError) throw fail(error.line, error.message)
    throw error
  }
  const config = assemble(draft)
  const problem = faultOf(config)
  if (problem !== null) throw fail(null, problem)
  return config
}

function take(draft: HelperDraft, { key, value, line }: HclEntry): void {
  const wrong = (must: string) => new HclError(line, `${key} must be ${must}`)
  if (TEXTS.includes(key)) {
    if (value.kind !== 'string') throw wrong('a text in double quotes')
    draft.texts.set(key, value.text)
  } else if (FLAGS.includes(key)) {
    if (value.kind !== 'bool') throw wrong('true or false')
    draft.flags.set(key, value.text === 'true')
  } else if (MODES.includes(key)) {
    const text = value.kind === 'number' || value.kind === 'string' ? value.text : ''
    // As Go reads numbers: one that begins with 0 is octal.
    const mode = /^0[0-7]*$/.test(text) ? Number.parseInt(text, 8) : /^\d+$/.test(text) ? Number(text) : -1
    if (mode < 0 || mode > 0o777) throw wrong('permission bits in octal, such as 0644')
    if (mode > 0) draft.modes.set(key, mode)
  } else if (key === 'jwt_svids') {
    draft.jwtSvids = jwtFiles(value, line)
  } else if (key === 'health_checks' || key.startsWith('health_checks.')) {
    takeHealth(key, value, line)
  } else {
    throw new HclError(line, `the key ${key} is unknown; docs/files.md lists those of spiffe-helper that are read`)
  }
}

/** There is no health server here, so only a disabled one is accepted. */
function takeHealth(key: string, value: HclValue, line: number): void {
  const enabled =
    value.kind === 'object'
      ? value.entries.some((entry) => entry.key === 'listener_enabled' && textOf(entry.value) !== 'false')
      : key === 'health_checks.listener_enabled' && textOf(value) !== 'false'
  if (!enabled) return
  throw new HclError(line, 'health_checks are not supported: let the probe check the files (docs/files.md)')
}

function textOf(value: HclValue): string | null {
  return 'text' in value ? value.text : null
}

function jwtFiles(value: HclValue, line: number): readonly JwtFile[] {
  const wrong = (problem: string) => new HclError(line, `jwt_svids ${problem}`)
  if (value.kind !== 'list') throw wrong('must be a list of objects')
  return value.items.map((item) => {
    if (item.kind !== 'object') throw wrong('must be a list of objects')
    const fields = new Map(item.entries.map((entry) => [entry.key, entry.value]))
    const known = ['jwt_audience', 'jwt_extra_audiences', 'jwt_svid_file_name']
    const unknown = [...fields.keys()].find((key) => !known.includes(key))
    if (unknown !== undefined) throw wrong(`has the unknown key ${unknown}`)
    const single = (key: string) => {
      const field = fields.get(key)
      if (field?.kind !== 'string' || field.text === '') throw wrong(`needs ${key}, a text in double quotes`)
      return field.text
    }
    const extra = fields.get('jwt_extra_audiences') ?? { kind: 'list', items: [] }
    if (extra.kind !== 'list') throw wrong('has jwt_extra_audiences that are not a list')
    const more = extra.items.map((one) => {
      if (one.kind !== 'string') throw wrong('has an extra audience that is not a text in double quotes')
      return one.text
    })
    return { name: single('jwt_svid_file_name'), audience: [single('jwt_audience'), ...more] }
  })
}

function assemble({ texts, flags, modes, jwtSvids }: HelperDraft): HelperConfig {
  const text = (key: string) => texts.get(key) || null
  const [program, ...args] = [...(texts.get('cmd') ? [texts.get('cmd') ?? ''] : []), ...words(texts.get('cmd_args'))]
  return {
    plan: {
      certificate: text('svid_file_name'),
      key: text('svid_key_file_name'),
      bundle: text('svid_bundle_file_name'),
      combined: null,
      keystore: null,
      truststore: null,
      password: null,
      jwtSvids,
      jwks: text('jwt_bundle_file_name'),
      jwksForm: 'base64',
      federated: flags.get('include_federated_domains') ? 'merged' : 'none',
      intermediatesInBundle: flags.get('add_intermediates_to_bundle') ?? false,
      modes: {
        certificate: modes.get('cert_file_mode') ?? DEFAULT_MODES.certificate,
        key: modes.get('key_file_mode') ?? DEFAULT_MODES.key,
        jwtSvid: modes.get('jwt_svid_file_mode') ?? DEFAULT_MODES.jwtSvid,
        jwks: modes.get('jwt_bundle_file_mode') ?? 0o600,
      },
    },
    directory: texts.get('cert_dir') || '.',
    agentAddress: text('agent_address'),
    hint: text('hint'),
    daemon: (flags.get('daemon_mode') ?? true) && !(flags.get('exit_when_ready') ?? false),
    command: texts.get('cmd') && program !== undefined ? [program, ...args] : null,
    pidFile: text('pid_file_name'),
    renewSignal: text('renew_signal'),
  }
}

/** Splits arguments as spiffe-helper does: at blanks outside double quotes. */
function words(text = ''): readonly string[] {
  const parts = text.match(/(?:"[^"]*"|[^\s"])+/g) ?? []
  return parts.map((part) => part.replaceAll('"', ''))
}

function faultOf({ plan, pidFile, renewSignal }: HelperConfig): string | null {
  const three = [plan.certificate, plan.key, plan.bundle].filter((name) => name !== null).length
  if (three !== 0 && three !== 3) {
    return 'svid_file_name, svid_key_file_name and svid_bundle_file_name belong together: give all or none'
  }
  if (!wantsX509(plan) && plan.jwks === null && plan.jwtSvids.length === 0) {
    return 'it names no file: give the three svid file names, jwt_svids or jwt_bundle_file_name'
  }
  if (pidFile !== null && renewSignal === null) return 'pid_file_name needs renew_signal'
  const names = namesOf(plan)
  const wrong = names.find((name) => faultOfName(name) !== null)
  if (wrong !== undefined) return `the file name ${JSON.stringify(wrong)} ${faultOfName(wrong)}`
  return new Set(names).size < names.length ? 'two files have the same name' : null
}
