import { choice, misused, readArguments } from '../arguments.js'
import type { Command } from '../command.js'
import { COMMANDS } from '../command-table.js'
import { bashCompletion } from '../manual/bash.js'
import { commandWords } from '../manual/command-words.js'
import { fishCompletion } from '../manual/fish.js'
import { zshCompletion } from '../manual/zsh.js'

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const

/** Prints the completion script of a shell for `icp-agent`. The packages contain the same files. */
export const completion: Command = {
  help: `Usage: icp-agent completion bash|zsh|fish

Prints a completion script for commands, options and their values. The packages for Debian and RHEL install
it as a file.

Exit codes: 0 printed; 2 wrong usage.

Example:
  source <(icp-agent completion bash)
  icp-agent completion zsh > "\${fpath[1]}/_icp-agent"
  icp-agent completion fish > ~/.config/fish/completions/icp-agent.fish
`,
  async run(args, io) {
    const { positionals } = readArguments(args, {}, 1)
    if (positionals[0] === undefined) throw misused('name the shell: bash, zsh or fish')
    const shell = choice(positionals[0], ['bash', 'zsh', 'fish'], 'the shell')
    io.stdout.write(SHELLS[shell](await commandWords(COMMANDS)))
    return 0
  },
}
