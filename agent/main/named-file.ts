import { AgentError } from '../errors.js'
import { Disk } from '../platform/disk.js'
import { misused, quoted } from './arguments.js'

/** The content of the file that an option names. Throws `command.misused` where it is missing or cannot be read. */
export async function namedFile(path: string, maxBytes: number, option: string): Promise<Buffer> {
  let content: Buffer | null
  try {
    content = await new Disk().read(path, { maxBytes })
  } catch (error) {
    if (!(error instanceof AgentError)) throw error
    throw misused(`${option} cannot be used: ${error.message}`, error)
  }
  if (content === null) throw misused(`${option} ${quoted(path)}: there is no such file`)
  return content
}
