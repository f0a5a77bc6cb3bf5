import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makePackages } from '../support/packages.js'

/** nobody, on most machines. */
const PLAIN = 65534

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

    /** Warnings about what the agent may see. */
    const troubles = (privileges: readonly string[]) =>
      run(privileges).lines.filter(({ event }) => String(event).includes('SYS_PTRACE'))

    function run(privileges: readonly string[], settings: Readonly<Record<string, string>> = {}) {
      const directory = mkdtempSync(join(work, 'agent-'))
      spawnSync('chown', [String(PLAIN), directory])
      const { status, stdout } = spawnSync('timeout', ['4', 'setpriv', ...privileges, program, 'run'], {
        encoding: 'utf8',
        cwd: '/',
        env: {
          PATH: process.env['PATH'],
          ICP_AGENT_AGENT__TENANT_ID: '11111111-2222-4333-8444-555555555555',
          ICP_AGENT_AGENT__NODE_ID: 'test',
          ICP_AGENT_AGENT__DATA_DIR: join(privileges.some((flag) => flag.includes('reuid')) ? directory : work, 'data'),
          ICP_AGENT_AGENT__SOCKET_PATH: join(
            privileges.some((flag) => flag.includes('reuid')) ? directory : work,
            'run/agent.sock',
          ),
          ICP_AGENT_ICP_SERVICE__ADDRESS: 'https://127.0.0.1:1',
          ICP_AGENT_HEALTH__ENABLED: 'false',
          ...settings,
        },
      })
      const lines = stdout
        .split('\n')
        .flatMap((line): Record<string, unknown>[] => (line === '' ? [] : [JSON.parse(line)]))
      return { status, lines }
    }
  },
)
