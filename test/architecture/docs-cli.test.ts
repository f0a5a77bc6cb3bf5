import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { COMMANDS } from '../../agent/main/command-table.js'

test('docs/cli.md shows the help of every command as it is printed', async () => {
  const parts = await Promise.all(
    COMMANDS.map(async ({ name, summary, load }) => {
      const { help } = await load()
      return `### ${name}\n\n${summary}\n\n\`\`\`text\n${help}\`\`\`\n`
    }),
  )
  const page = readFileSync('docs/cli.md', 'utf8')
  const [before = '', rest = ''] = page.split(/(?<=<!-- help: .*? -->\n)/)
  const after = rest.slice(rest.indexOf('<!-- end of help -->'))
  const made = `${before}\n${parts.join('\n')}\n${after}`
  if (process.env['ICP_UPDATE_DOCS']) writeFileSync('docs/cli.md', made)
  else expect(page, 'run npm run docs').toBe(made)
})
