import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../../agent/main/cli.js'
import { COMMANDS } from '../../../agent/main/command-table.js'
import { optionsOf, readHelp } from '../../../agent/main/manual/help-text.js'

const folder = mkdtempSync(join(tmpdir(), 'icp-completion-'))
const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]
const missing = (shell: Shell) => spawnSync(shell, ['--version']).error !== undefined

beforeAll(async () => {
  for (const shell of SHELLS) writeFileSync(join(folder, shell), await printed(['completion', shell]))
  writeFileSync(join(folder, 'a file.yaml'), '')
  writeFileSync(join(folder, 'zsh-script'), ZSH)
})
afterAll(() => rmSync(folder, { recursive: true }))

async function printed(args: readonly string[]): Promise<string> {
  let text = ''
  const stdout = { write: (part: string) => (text += part) }
  const io = { env: {}, stdout, stderr: stdout, signal: new AbortController().signal }
  expect(await main(args, io)).toBe(0)
  return text
}

/** What the shell offers for the last word of a line. */
const complete: Readonly<Record<Shell, (line: string) => readonly string[]>> = {
  bash(line) {
    // bash takes words apart at = as well.
    const words = line.split(/ |(?<==)|(?==)/)
    const script = `set -u; source ${folder}/bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _icp_agent; printf '%s\\n' "\${COMPREPLY[@]}"`
    return lines(execFileSync('bash', ['--norc', '-c', script, 'bash', ...words], { cwd: folder, encoding: 'utf8' }))
  },
  zsh(line) {
    const text = execFileSync('zsh', ['-f', join(folder, 'zsh-script'), join(folder, 'zsh'), line], {
      cwd: folder,
      encoding: 'utf8',
    })
    // Both what matches and what is added of it.
    return [...new Set(lines(text.replace(/\r/g, '')))]
  },
  fish(line) {
    const script = `source ${folder}/fish; complete -C ${JSON.stringify(line)}`
    const env = { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder }
    const text = execFileSync('fish', ['--no-config', '-c', script], { cwd: folder, encoding: 'utf8', env })
    return lines(text).map((offered) => offered.split('\t')[0] ?? '')
  },
}

function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '')
}

/** A zsh on a terminal of its own, in which compadd tells what it is given. */
const ZSH = `
zmodload zsh/zpty
zpty shell zsh -f -i
send() { zpty -w shell "$1"; zpty -r shell out "*$2*" }
send 'PROMPT=; autoload -Uz compinit; compinit -u -D; source '$1'; print re""ady-1' ready-1
send 'null-line() { print -r -- be""gin; }; zle -C list complete-word list-all; bindkey "^I" list; print re""ady-2' ready-2
send 'list-all() { compadd() { builtin compadd -A found -D found "$@" 2>/dev/null; local -a found; builtin compadd -O found "$@"; print -rl -- "=>"\${^found}; builtin compadd "$@"; }; print; print st""art; _main_complete; print e""nd; exit 0; }; print re""ady-3' ready-3
zpty -w -n shell "$2"$'\\t'
while zpty -r shell line; do text+=$line; [[ $line == *end* ]] && break; done
print -r -- \${(F)\${(M)\${(f)text}:#=\\>*}#=\\>}
`

describe.each(SHELLS)('completion in %s', (shell) => {
  const offers = (line: string) => complete[shell](line)

  it.skipIf(missing(shell))('offers every command, and the words of a group', () => {
    const first = [...new Set(COMMANDS.map(({ name }) => name.split(' ')[0]))]
    expect([...offers('icp-agent ')].sort()).toEqual([...first].sort())
    expect(offers('icp-agent api fe')).toEqual(['fetch'])
    expect([...offers('icp-agent api fetch ')].sort()).toEqual(['bundles', 'jwt', 'x509'])
    expect(offers('icp-agent sta')).toEqual(['status'])
  })

  it.skipIf(missing(shell))('offers the options of each command', async () => {
    for (const name of ['api fetch jwt', 'files', 'dev-icp']) {
      const help = await COMMANDS.find((command) => command.name === name)?.load()
      const options = optionsOf(readHelp(help?.help ?? '')).map(({ long }) => long)
      expect(options.length).toBeGreaterThan(4)
      const offered = offers(`icp-agent ${name} --`).map((option) => option.replace(/=$/, ''))
      expect([...offered].sort(), name).toEqual([...options, '--help'].sort())
    }
  })

  it.skipIf(missing(shell))('offers the words of an option, and files where it takes one', () => {
    expect([...offers('icp-agent validate --output ')].sort()).toEqual(['json', 'pretty'])
    expect(offers('icp-agent validate -o j')).toEqual(['json'])
    expect(offers('icp-agent validate --output=j').map((word) => word.replace(/^--output=/, ''))).toEqual(['json'])
    expect(offers('icp-agent validate --config a').map((word) => word.replaceAll('\\', ''))).toContain('a file.yaml')
    expect(offers('icp-agent healthcheck --timeout a')).toEqual([])
  })

  it.skipIf(missing(shell))('offers the words of an argument', () => {
    expect([...offers('icp-agent completion ')].sort()).toEqual(['bash', 'fish', 'zsh'])
    expect([...offers('icp-agent status ')].sort()).toEqual(['bundles', 'denials', 'entries', 'workloads'])
    expect([...offers('icp-agent dev-icp entry ')].sort()).toEqual(['create', 'delete', 'list'])
  })

  it.skipIf(missing(shell))('offers programs behind exec --', () => {
    expect(offers('icp-agent exec -- mkfif')).toContain('mkfifo')
  })
})
