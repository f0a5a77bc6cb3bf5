import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { COMMANDS } from '../../../agent/main/command-table.js'
import { optionsOf, readHelp } from '../../../agent/main/manual/help-text.js'
import { icpAgent } from '../../support/terminal.js'

/** Every option that a help shows, with the words of its command. */
const OPTIONS = await (async () => {
  const rows: { words: readonly string[]; option: string; takes: boolean; repeats: boolean }[] = []
  for (const { name, load } of COMMANDS) {
    const words = name.split(' ')
    for (const { long, value, text } of optionsOf(readHelp((await load()).help))) {
      rows.push({ words, option: long, takes: value !== null, repeats: /\bmay be repeated\b/.test(text) })
    }
  }
  return rows
})()
const named = (rows: typeof OPTIONS) => rows.map((row) => [`${row.words.join(' ')} ${row.option}`, row] as const)
/** In every pod. */
const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '1' }

let base: string
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'icp-'))
  await mkdir(join(base, 'directory'))
  await writeFile(join(base, 'file'), '')
})
afterAll(() => rm(base, { recursive: true }))

async function refused(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await icpAgent(args, { env })
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).not.toContain('defect')
  return stderr
}

describe('an option given twice is refused by its name', () => {
  test.each(named(OPTIONS.filter(({ repeats }) => !repeats)))('%s', async (_, { words, option, takes }) => {
    const once = takes ? [option, 'x'] : [option]
    expect(await refused([...words, ...once, ...once])).toContain(`${option} is given twice`)
  })
})

describe('an option without its value is refused by its name', () => {
  test.each(named(OPTIONS.filter(({ takes }) => takes)))('%s', async (_, { words, option }) => {
    for (const args of [[option], [option, ''], [`${option}=`]]) {
      expect(await refused([...words, ...args])).toContain(`${option} needs a value`)
    }
  })
})

describe('an option that takes no value refuses one', () => {
  test.each(named(OPTIONS.filter(({ takes }) => !takes)))('%s', async (_, { words, option }) => {
    expect(await refused([...words, `${option}=yes`])).toContain(`${option} takes no value`)
  })
})

/** What a command needs before it looks at the option in question. */
const FILES = 'files --once --wait 1s --socket /nowhere/agent.sock --dir /nowhere/files'
const EXEC = 'exec --wait 1s --socket /nowhere/agent.sock'
const PUBLISH = 'publish-bundle --config-map bundle --namespace here --socket /nowhere/agent.sock'
const DEV = 'dev-icp --data DIRECTORY/dev-icp'

/** DIRECTORY, FILE: of the test, and nothing good in the place of what is meant. */
describe('what an option cannot be is refused with what it can be', () => {
  test.each([
    ['explain --pid 0', '--pid must be a number from 1 to 4194304'],
    ['explain --pid=-1', '--pid must be a number from 1 to 4194304'],
    ['explain --pid 4194305', '--pid must be a number from 1 to 4194304'],
    ['explain --pid 1.5', '--pid must be a number'],
    ['explain --container web', '--container: a container is 12 to 64 hexadecimal digits'],
    ['explain --pod web', '--pod: a pod is NAMESPACE/NAME'],
    ['explain --pid 1 --pod a/b', 'one of --pid, --container, --pod and --denial'],
    ['explain --pid 1 --admin-socket DIRECTORY', 'DIRECTORY is a directory; name the socket in it'],
    ['status --admin-socket FILE', 'FILE is a file, not a socket'],
    ['status --wait now', '--wait must be ready or healthy or served'],
    ['status --wait ready --timeout soon', '--timeout must be a duration'],
    ['status --serve 0.0.0.0:1', '--serve takes an address of this machine alone'],
    ['log-level loud', 'the level must be debug or info or warning or error'],
    ['log-level debug --for 2d', '--for is "2d"; use 1s to 1d'],
    ['healthcheck --url https://x', '--url must be an http:// address'],
    ['healthcheck --timeout 0', '--timeout must be a duration'],
    ['api fetch jwt -a x --id web', '--id "web" is not a SPIFFE ID'],
    ['api fetch jwt -a x --token -o json', '--token goes with no --output'],
    ['api fetch x509 --socket DIRECTORY', '--socket: DIRECTORY is a directory; name the socket in it'],
    ['api fetch x509 --socket FILE', '--socket: FILE is a file, not a socket'],
    [
      'api fetch x509 --socket agent.sock',
      '--socket is not a Workload API address: it must be unix:// and an absolute',
    ],
    ['api fetch x509 --socket unix:agent.sock', 'the path must be absolute'],
    ['api watch x509 --dialect x', '--dialect must be spiffe or authsec'],
    ['api validate jwt -a x -f /nowhere/token', '--file "/nowhere/token": there is no such file'],
    ['api validate jwt -a x -f DIRECTORY', '--file cannot be used: refusing DIRECTORY: it is a directory'],
    [`${FILES} -c DIRECTORY`, '--config cannot be used: refusing DIRECTORY: it is a directory'],
    [`${FILES} --helper-config DIRECTORY`, '--helper-config cannot be used: refusing DIRECTORY: it is a directory'],
    [`${FILES} --password-file DIRECTORY`, '--password-file cannot be used: refusing DIRECTORY: it is a directory'],
    [`${FILES} --names x`, '--names must be spiffe or kubernetes or istio'],
    [`${FILES} --jwt x`, '--jwt must be FILE=AUDIENCE'],
    [`${FILES} --owner 99999999999`, 'there is no user "99999999999"'],
    [`${FILES} --key-mode rw`, '--key-mode must be permission bits such as 0640'],
    [`${FILES} --switch x`, '--switch must be symlink or rename'],
    [`${FILES} --pid-file /nowhere/pid --signal x`, '--signal must be a signal such as HUP'],
    [`${FILES} --reload x/y`, '--reload "x/y" is not the name of a unit'],
    [`${FILES} --post x`, '--post "x" is not an http or https URL'],
    ['exec true', 'write the command behind --: -- true'],
    ['exec --', 'the command is missing: write it behind --'],
    ['exec --socket DIRECTORY -- true', '--socket: DIRECTORY is a directory; name the socket in it'],
    ['exec --socket agent.sock -- true', '--socket is not a Workload API address'],
    [`${EXEC} --on-rotation x -- true`, '--on-rotation must be none, restart or a signal such as HUP'],
    [`${EXEC} --stop-timeout x -- true`, '--stop-timeout must be a duration'],
    [`${PUBLISH} --health-port 0`, '--health-port must be a number from 1 to 65535'],
    [`${PUBLISH} --health-port 65536`, '--health-port must be a number from 1 to 65535'],
    [`${PUBLISH} --cluster-trust-bundle A`, '--cluster-trust-bundle must be a name of Kubernetes'],
    [`${PUBLISH} --pem-key a/b`, '--pem-key must be a key of a ConfigMap'],
    [`${PUBLISH} --federated A_B`, '--federated must be a trust domain'],
    [`${DEV} --listen x`, 'HOST:PORT'],
    [`${DEV} --admin-token-file DIRECTORY`, '--admin-token-file cannot be used: refusing DIRECTORY: it is a directory'],
    [`${DEV} --admin-token-file FILE`, '--admin-token-file "FILE" is empty'],
    [`${DEV} --svid-ttl soon`, '--svid-ttl must be a duration'],
    ['dev-icp entry create /x a=b --parent x', '--parent "x" is not a SPIFFE ID'],
    ['completion ksh', 'the shell must be bash or zsh or fish'],
  ])('%s', async (line, text) => {
    const real = (one: string) => one.replaceAll('DIRECTORY', `${base}/directory`).replaceAll('FILE', `${base}/file`)
    // FILE=AUDIENCE is how a help writes it.
    const wanted = text.includes('FILE=AUDIENCE') ? text : real(text)
    expect(await refused(line.split(' ').map(real))).toContain(wanted)
  })
})

test('a bare path is taken literally', async () => {
  const path = join(base, 'a#b?c%41 d.sock')
  const { stderr } = await icpAgent(['api', 'fetch', 'x509', '--socket', path])
  expect(stderr).toContain(`unix://${path}: the socket does not exist`)
})

test('the variable with the address is refused by its name, too', async () => {
  const { code, stderr } = await icpAgent(['api', 'fetch', 'x509'], {
    env: { SPIFFE_ENDPOINT_SOCKET: `unix://${base}` },
  })
  expect(code).toBe(2)
  expect(stderr).toContain(`SPIFFE_ENDPOINT_SOCKET: ${base} is a directory`)
})
