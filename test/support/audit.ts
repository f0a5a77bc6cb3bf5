import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { recordSchema } from '../../agent/audit/records.js'

export type AnyRecord = z.infer<ReturnType<typeof recordSchema>> & Readonly<Record<string, unknown>>

const published = z.fromJSONSchema(JSON.parse(readFileSync('docs/schemas/audit-1.schema.json', 'utf8')))

/** The records in a text, each checked against the published schema. */
export function recordsIn(text: string): AnyRecord[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const record: unknown = JSON.parse(line)
    published.parse(record)
    return recordSchema().parse(record) as AnyRecord
  })
}
