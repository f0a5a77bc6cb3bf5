// `npm run package -- --sign KEY`: SHA256SUMS signed with minisign, by a key that the user keeps.
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'

/** Checks before the build that signing is possible; throws if not. */
export function checkSigning(key) {
  accessSync(key, constants.R_OK)
  const { error } = spawnSync('minisign', ['-v'])
  if (error) throw new Error('--sign needs minisign, which is not installed', { cause: error })
}

/** Writes FILE.minisig. minisign asks on the terminal for the password of the key, if it has one. */
export function sign(key, file, version) {
  // Without a time, so that the same sums and key give the same signature.
  const args = ['-S', '-s', key, '-m', file, '-x', `${file}.minisig`, '-t', `icp-agent ${version}`]
  const { status, error } = spawnSync('minisign', args, { stdio: ['inherit', 2, 2] })
  if (error || status !== 0) throw new Error(`minisign ended with ${status}`, { cause: error })
}
