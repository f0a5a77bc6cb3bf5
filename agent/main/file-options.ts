import { constants } from 'node:os'
import { Secret } from '../crypto/secret.js'
import {
  DEFAULT_MODES,
  DEFAULT_PLAN,
  type FilePlan,
  faultOfName,
  type JwtFile,
  NAME_SETS,
  namesOf,
} from '../files/file-plan.js'
import type { Choice } from '../files/pick-identity.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import { idOf } from '../platform/user-ids.js'
import { choice, misused, type OptionValues, quoted } from './arguments.js'
import { namedFile } from './named-file.js'

/** The options of every command that writes an identity to files. */
export const FILE_OPTIONS = {
  dir: { type: 'string', short: 'd' },
  socket: { type: 'string' },
  dialect: { type: 'string' },
  config: { type: 'string', short: 'c' },
  'helper-config': { type: 'string' },
  wait: { type: 'string' },
  id: { type: 'string' },
  hint: { type: 'string' },
  names: { type: 'string' },
  jwt: { type: 'string', several: true },
  jwks: { type: 'boolean' },
  'password-file': { type: 'string' },
  owner: { type: 'string' },
  group: { type: 'string' },
  'key-mode': { type: 'string' },
  'cert-mode': { type: 'string' },
  switch: { type: 'string' },
  'shared-dir': { type: 'boolean' },
} as const

export type FileOptions = OptionValues<typeof FILE_OPTIONS>

/** Their lines in a `--help`. */
export const FILE_OPTIONS_HELP = `  --socket ADDRESS       unix:///path of the Workload API, or only the path; default:
                         SPIFFE_ENDPOINT_SOCKET, else the socket of the agent's configuration
  --dialect NAME         spiffe (default) or authsec, the encoding of the AuthSec SDKs
  -c, --config FILE      YAML with the names of these options as keys; the command line wins
  --id SPIFFE_ID         which of several identities; default: the default identity
  --hint HINT            the same, by the hint of its entry
  --names SET            spiffe (default): svid.pem, svid_key.pem, svid_bundle.pem;
                         kubernetes: tls.crt, tls.key, ca.crt;
                         istio: cert-chain.pem, key.pem, root-cert.pem
  --jwt FILE=AUDIENCE    also a JWT-SVID; separate several audiences by commas; may be
                         repeated
  --jwks                 also jwks.json, the keys that verify JWT-SVIDs
  --password-file FILE   also keystore.p12 and truststore.p12 (PKCS#12), with this password
  --owner USER           owner of the files, by name or number; only root can set another one
  --group GROUP          group of the files
  --key-mode MODE        mode of files with a key or a token; default 0600
  --cert-mode MODE       mode of the other files; default 0644
  --switch HOW           symlink (default): replace all files at once, by ..data;
                         rename: each file by itself, the key last
  --shared-dir           accept a directory that others can write to, such as a shared volume`

const MAX_PASSWORD = 1_024

/** The file plan of the options. Throws `command.misused`, `file.io`. */
export async function filePlan(options: FileOptions): Promise<FilePlan> {
  const names = NAME_SETS[choice(options.names, ['spiffe', 'kubernetes', 'istio'], '--names')]
  const key = mode(options['key-mode'], DEFAULT_MODES.key, '--key-mode')
  const certificate = mode(options['cert-mode'], DEFAULT_MODES.certificate, '--cert-mode')
  const path = options['password-file']
  const plan: FilePlan = {
    ...DEFAULT_PLAN,
    ...names,
    jwtSvids: (options.jwt ?? []).map(jwtFile),
    jwks: options.jwks ? 'jwks.json' : null,
    modes: { certificate, key, jwtSvid: key, jwks: certificate },
    ...(path === undefined
      ? {}
      : { password: await password(path), keystore: 'keystore.p12', truststore: 'truststore.p12' }),
  }
  const all = namesOf(plan)
  if (new Set(all).size < all.length) throw misused('--jwt names a file that another one is called, too')
  return plan
}

/** Throws `command.misused`. */
export function identityChoice({ id, hint }: FileOptions): Choice {
  return { spiffeId: id === undefined ? null : spiffeIdOption(id, '--id'), hint: hint ?? null }
}

/** Throws `command.misused` for what is not a SPIFFE ID. */
export function spiffeIdOption(text: string, option: string): string {
  const problem = SpiffeId.tryParse(text)
  if (typeof problem === 'string') throw misused(`${option} ${quoted(text)} is not a SPIFFE ID: ${problem}`)
  return text
}

/** Throws `command.misused`. */
export function ownership({ owner, group }: FileOptions): { owner: number | null; group: number | null } {
  const number = (kind: 'user' | 'group', name: string | undefined) => {
    if (name === undefined) return null
    const id = idOf(kind, name)
    if (id === null) throw misused(`there is no ${kind} ${quoted(name)} on this machine; give its number`)
    return id
  }
  return { owner: number('user', owner), group: number('group', group) }
}

/** `HUP`, `SIGHUP` and `hup` are the same. Throws `command.misused`. */
export function signalNamed(text: string, option: string, what = 'a signal such as HUP'): NodeJS.Signals {
  const name = `SIG${text.toUpperCase().replace(/^SIG/, '')}`
  if (!Object.hasOwn(constants.signals, name)) throw misused(`${option} must be ${what}, not ${quoted(text)}`)
  return name as NodeJS.Signals
}

function jwtFile(text: string): JwtFile {
  const at = text.indexOf('=')
  const name = text.slice(0, Math.max(at, 0))
  const audience = text
    .slice(at + 1)
    .split(',')
    .filter((one) => one !== '')
  if (at < 1 || audience.length === 0) throw misused(`--jwt must be FILE=AUDIENCE, not ${quoted(text)}`)
  const fault = faultOfName(name)
  if (fault !== null) throw misused(`the file ${quoted(name)} of --jwt ${fault}`)
  return { name, audience }
}

function mode(text: string | undefined, standard: number, option: string): number {
  if (text === undefined) return standard
  if (!/^0?[0-7]{3}$/.test(text)) throw misused(`${option} must be permission bits such as 0640, not ${quoted(text)}`)
  return Number.parseInt(text, 8)
}

/** The first line of the file. Java and OpenSSL encode passwords alike only in ASCII. */
async function password(path: string): Promise<Secret> {
  const content = await namedFile(path, MAX_PASSWORD, '--password-file')
  const [line = ''] = content.toString('utf8').split(/\r?\n/)
  if (!/^[\x20-\x7e]{6,}$/.test(line)) {
    throw misused(`the password in ${quoted(path)} must be at least six characters of ASCII, as Java demands it`)
  }
  return new Secret(line)
}
