import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makePackages } from '../support/packages.js'
import { until } from '../support/until.js'

/** nobody, on most machines. */
const PLAIN = 65534

/** Not so in most containers. */
const mayUnshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0

describe.skipIf(process.getuid?.() !== 0)(
  'an agent in trouble says in one line what is wrong and what to change',
  () => {
    const work = mkdtempSync(join(tmpdir(), 'icp-trouble-'))
    let program: string

    beforeAll(() => {
      chmodSync(work, 0o755)
      const version = makePackages(join(work, 'packages'))
      program = join(work, 'packages', version, `icp-agent-${version}-linux-${process.arch}`)
    })
    afterAll(() => rmSync(work, { recursive: true, force: true }))

    it('as root without SYS_PTRACE', () => {
      const [line, ...more] = troubles(['--bounding-set', '-sys_ptrace'])
      expect(more).toEqual([])
      expect(line).toMatchObject({ level: 'warning', event: expect.stringContaining('SYS_PTRACE') })
      expect(line?.['remedy']).toContain('capabilities.add [SYS_PTRACE]')
    })

    it('as a plain user, and not as one to whom SYS_PTRACE was given', () => {
      const user = [`--reuid=${PLAIN}`, `--regid=${PLAIN}`, '--clear-groups']
      expect(troubles(user)).toHaveLength(1)
      expect(troubles([...user, '--inh-caps', '+sys_ptrace', '--ambient-caps', '+sys_ptrace'])).toEqual([])
    })

    it('with a socket directory that it cannot write', () => {
      const locked = join(work, 'locked')
      mkdirSync(locked, { mode: 0o755 })
      const { lines, status } = run([`--reuid=${PLAIN}`, `--regid=${PLAIN}`, '--clear-groups'], {
        ICP_AGENT_AGENT__SOCKET_PATH: join(locked, 'agent.sock'),
      })
      const errors = lines.filter(({ level }) => level === 'error')
      expect([status, errors.length]).toEqual([1, 1])
      expect(JSON.stringify(errors[0])).toContain(locked)
    })

    it('with a server that cannot be reached', () => {
      const { lines } = run([])
      const said = lines.filter(({ event }) => event === 'ICP server cannot be reached')
      expect(said).toHaveLength(1)
      expect(said[0]).toMatchObject({ level: 'warning', error: { code: 'icp.unreachable' } })
      expect(JSON.stringify(said[0])).toMatch(/is the server running/)
    })

    it.skipIf(!mayUnshare)('in a PID namespace of its own, once, however often it is called from another', async () => {
      const directory = mkdtempSync(join(work, 'apart-'))
      const socket = join(directory, 'run/agent.sock')
      const apart = ['--pid', '--fork', '--kill-child', '--mount-proc', program, 'run']
      const env = environment(directory, {
        ICP_AGENT_AGENT__SOCKET_PATH: socket,
        ICP_AGENT_HEALTH__ENABLED: 'true',
        ICP_AGENT_HEALTH__PORT: '0',
        // As in a pod.
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: '1',
      })
      const agent = spawn('unshare', apart, { env, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] })
      let output = ''
      agent.stdout.on('data', (chunk) => {
        output += chunk
      })
      const ended = new Promise((resolve) => agent.once('close', resolve))
      const said = () => linesOf(output).filter(({ event }) => event === 'Caller not identified')
      try {
        await until(() => existsSync(socket))
        const ready = ['-s', '--unix-socket', join(directory, 'data/health.sock'), 'http://localhost/ready?verbose']
        const { reasons } = JSON.parse(spawnSync('curl', ready, { encoding: 'utf8' }).stdout)
        expect(reasons).toContainEqual(expect.stringMatching(/PID namespace of its own.*hostPID: true/))
        for (let call = 0; call < 3; call++) {
          const args = ['api', 'fetch', 'x509', '--socket', socket, '--timeout', '30s']
          const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
          expect([status, stderr]).toEqual([expect.any(Number), expect.stringMatching(/hostPID.*pid: host/)])
          expect(status).not.toBe(0)
        }
        await until(() => said().length > 0)
      } finally {
        agent.kill('SIGKILL')
        await ended
      }
      const message = expect.stringMatching(/hostPID: true.*pid: host/)
      const error = { code: 'caller.foreign_pid_namespace', message }
      expect(said()).toEqual([expect.objectContaining({ level: 'warning', error })])
    })

    /** Warnings about what the agent may see. */
    const troubles = (privileges: readonly string[]) =>
      run(privileges).lines.filter(({ event }) => String(event).includes('SYS_PTRACE'))

    function run(privileges: readonly string[], settings: Readonly<Record<string, string>> = {}) {
      const directory = mkdtempSync(join(work, 'agent-'))
      spawnSync('chown', [String(PLAIN), directory])
      const { status, stdout } = spawnSync('timeout', ['4', 'setpriv', ...privileges, program, 'run'], {
        encoding: 'utf8',
        cwd: '/',
        env: environment(privileges.some((flag) => flag.includes('reuid')) ? directory : work, settings),
      })
      return { status, lines: linesOf(stdout) }
    }
  },
)

function environment(
  directory: string,
  settings: Readonly<Record<string, string>>,
): Record<string, string | undefined> {
  return {
    PATH: process.env['PATH'],
    ICP_AGENT_AGENT__TENANT_ID: '11111111-2222-4333-8444-555555555555',
    ICP_AGENT_AGENT__NODE_ID: 'test',
    ICP_AGENT_AGENT__DATA_DIR: join(directory, 'data'),
    ICP_AGENT_AGENT__SOCKET_PATH: join(directory, 'run/agent.sock'),
    ICP_AGENT_ICP_SERVICE__ADDRESS: 'https://127.0.0.1:1',
    ICP_AGENT_HEALTH__ENABLED: 'false',
    ...settings,
  }
}

/** Complete lines only: the last one may be on its way. */
function linesOf(output: string): readonly Record<string, unknown>[] {
  return output
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}
