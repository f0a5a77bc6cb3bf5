import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { auditJsonSchema, RECORDS } from '../../agent/audit/records.js'

const SCHEMA = 'docs/schemas/audit-1.schema.json'
const PAGE = 'docs/audit.md'
const MARK = '<!-- table: made from agent/audit/records.ts by `npm run docs` -->\n\n'

test('docs/schemas/audit-1.schema.json is made from the table of records', () => {
  const made = `${JSON.stringify(auditJsonSchema(), null, 2)}\n`
  if (process.env['ICP_UPDATE_DOCS']) writeFileSync(SCHEMA, made)
  else expect(readFileSync(SCHEMA, 'utf8'), 'run npm run docs').toBe(made)
})

test('docs/audit.md lists every type of record with its fields', () => {
  const rows = Object.entries(RECORDS).map(([type, { fields, means }]) => {
    const names = Object.keys(fields).map((name) => `\`${name}\``)
    return `| \`${type}\` | ${names.join(', ') || 'none'} | ${means} |\n`
  })
  const table = `| type | fields | written when |\n|---|---|---|\n${rows.join('')}`
  const page = readFileSync(PAGE, 'utf8')
  const [before = '', rest = ''] = page.split(MARK)
  const after = rest.slice(rest.indexOf('\n\n'))
  const made = `${before}${MARK}${table.trimEnd()}${after}`
  if (process.env['ICP_UPDATE_DOCS']) writeFileSync(PAGE, made)
  else expect(page, 'run npm run docs').toBe(made)
})
