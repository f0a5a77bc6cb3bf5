import { join } from 'node:path'
import type { X509Context } from '../client/x509-context.js'
import { certificatesPem, pemFromDer } from '../crypto/pem.js'
import { bundlePem } from '../identity/trust-bundle.js'
import type { Files } from '../ports/files.js'

const OURS = /^(?:svid\.\d+\.(?:pem|key)|bundle\.\d+\.pem|federated\.[a-z0-9._-]+\.pem)$/

/**
 * Writes SVID N as `svid.N.pem` (chain), `svid.N.key` (PKCS#8, mode 0600) and `bundle.N.pem`, and each federated trust
 * domain as `federated.NAME.pem`. Every file is written atomically, and a key before its certificate. Removes files of an
 * earlier run for SVIDs that are no longer granted. Resolves with the written paths.
 * Throws `file.io`, `file.unsafe`.
 */
export async function writeSvids(
  directory: string,
  context: X509Context,
  files: Pick<Files, 'makeDirectory' | 'writeAtomically' | 'list' | 'remove'>,
): Promise<readonly string[]> {
  await files.makeDirectory(directory, 0o755)
  const written: string[] = []
  const write = async (name: string, text: string, mode: number) => {
    await files.writeAtomically(join(directory, name), Buffer.from(text), mode)
    written.push(name)
  }
  for (const [n, { svid, bundle }] of context.svids.entries()) {
    await write(`svid.${n}.key`, pemFromDer(svid.privateKey.reveal(), 'PRIVATE KEY'), 0o600)
    await write(`svid.${n}.pem`, certificatesPem(svid.chain), 0o644)
    await write(`bundle.${n}.pem`, bundlePem(bundle), 0o644)
  }
  for (const [trustDomain, bundle] of context.federated) {
    await write(`federated.${trustDomain}.pem`, bundlePem(bundle), 0o644)
  }
  for (const name of await files.list(directory)) {
    if (OURS.test(name) && !written.includes(name)) await files.remove(join(directory, name))
  }
  return written.map((name) => join(directory, name))
}
