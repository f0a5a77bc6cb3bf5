import { X509Certificate } from 'node:crypto'
import { messageOf } from '../errors.js'
import type { Files } from '../ports/files.js'
import type { Problem } from './problem.js'

const MAX_BYTES = 1024 * 1024
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** What is wrong with the file of additional trust anchors: a missing one is a warning, a useless one an error. */
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
  const certificates = content.toString('latin1').match(CERTIFICATE) ?? []
  if (certificates.length === 0) return problem(`names ${path}, which holds no PEM certificate`, 'use PEM, not DER')
  for (const [i, pem] of certificates.entries()) {
    try {
      new X509Certificate(pem)
    } catch (error) {
      const text = `names ${path}, whose certificate ${i + 1} of ${certificates.length} is broken`
      if (error instanceof Error) return problem(text, 'replace it with the whole certificate')
      throw error
    }
  }
  return null
}
