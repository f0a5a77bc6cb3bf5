import { messageOf } from '../errors.js'
import { anchorFileTrouble } from '../identity/anchor-file.js'
import type { Files } from '../ports/files.js'
import type { Problem } from './problem.js'

const MAX_BYTES = 1024 * 1024

/** Checks the file of additional trust anchors: a missing one is a warning, an unusable one a problem. */
export async function checkTrustBundle(
  path: string,
  source: string,
  files: Pick<Files, 'read'>,
): Promise<{ readonly level: 'problem' | 'warning'; readonly finding: Problem } | null> {
  const key = 'icp_service.trust_bundle_path'
  const problem = (text: string, remedy: string) =>
    ({ level: 'problem', finding: { key, source, problem: text, remedy } }) as const
  let content: Buffer | null
  try {
    content = await files.read(path, { maxBytes: MAX_BYTES })
  } catch (error) {
    return problem(`names a file that cannot be used: ${messageOf(error)}`, 'make it a readable PEM file')
  }
  if (content === null) {
    const text = `names ${path}, which does not exist; only the system's certificate authorities are trusted`
    const remedy = 'put the PEM certificates there, or remove the setting'
    return { level: 'warning', finding: { key, source, problem: text, remedy } }
  }
  const trouble = anchorFileTrouble(content.toString('latin1'), path)
  return trouble && problem(`names ${path}, which ${trouble.problem}`, trouble.remedy)
}
