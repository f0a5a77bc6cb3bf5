import { spawnSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'

/** Date, commit and machine of the measurement, for a page. */
export function machine(): string {
  const [first] = cpus()
  return (
    `${new Date().toISOString().slice(0, 10)}, commit ${commit()}, Linux ${release()}, ${cpus().length} cores ` +
    `(${first?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB`
  )
}

function commit(): string {
  const { status, stdout } = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : 'unknown'
}
