import { expect, it } from 'vitest'
import { COMMANDS } from '../../../agent/main/command-table.js'
import { optionsOf, readHelp } from '../../../agent/main/manual/help-text.js'

it('finds every option that a help text lists', async () => {
  for (const { name, load } of COMMANDS) {
    const { help } = await load()
    const listed = [...help.matchAll(/^ {2,4}(?:-\w, )?(--[a-z0-9-]+)/gm)].map(([, long]) => long)
    const options = optionsOf(readHelp(help))
    expect([name, options.map(({ long }) => long)]).toEqual([name, listed])
    expect([name, options.filter(({ text }) => text === '')]).toEqual([name, []])
  }
})

it('takes usage, text, options, exit codes and examples apart', () => {
  const help = `Usage: icp-agent look [FILE] [OPTIONS]
       icp-agent look --all

Looks. A line that goes
on, and one as it stands:
  {"a": 1}

Options:
  -d, --dir DIR   where; made if
                  missing
  --a-long-option NAME
                  what; default: none
  --all           everything

Exit codes: 0 done,
1 failed.

Example:
  icp-agent look x |
    cat
`
  expect(readHelp(help)).toEqual({
    usage: ['look [FILE] [OPTIONS]', 'look --all'],
    parts: [
      { kind: 'prose', text: 'Looks. A line that goes on, and one as it stands:' },
      { kind: 'literal', lines: ['{"a": 1}'] },
      {
        kind: 'options',
        options: [
          { short: '-d', long: '--dir', value: 'DIR', text: 'where; made if missing' },
          { short: null, long: '--a-long-option', value: 'NAME', text: 'what; default: none' },
          { short: null, long: '--all', value: null, text: 'everything' },
        ],
      },
    ],
    exitCodes: '0 done, 1 failed.',
    examples: ['icp-agent look x |', '  cat'],
  })
})
