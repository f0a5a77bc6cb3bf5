import { AgentError } from '../../errors.js'
import { type BundleSources, PARTS } from './parts.js'
import { Redaction } from './redaction.js'
import type { TarFile } from './tar.js'

/** The parts of a bundle, and the missing ones. */
export interface SupportBundle {
  readonly files: readonly (TarFile & { readonly summary: string })[]
  readonly missing: readonly { readonly name: string; readonly summary: string; readonly reason: string }[]
}

/** Reads every part; an unreadable one does not prevent others. Rejects only if the signal of the command aborts. */
export async function collect(sources: BundleSources, stop: AbortSignal): Promise<SupportBundle> {
  const redaction = new Redaction(await sources.values())
  const files: SupportBundle['files'][number][] = []
  const missing: SupportBundle['missing'][number][] = []
  for (const { name, summary, read } of PARTS) {
    try {
      const value = await read(sources)
      const text = typeof value === 'string' ? value : `${JSON.stringify(value, null, 2)}\n`
      files.push({ name, summary, content: Buffer.from(redaction.apply(text)) })
    } catch (error) {
      if (stop.aborted) throw stop.reason
      if (!(error instanceof AgentError)) throw error
      missing.push({ name, summary, reason: redaction.apply(`${error.message} [${error.code}]`) })
    }
  }
  return { files, missing }
}
