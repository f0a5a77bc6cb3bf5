import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pick } from './plan.js'

/**
 * Damages a file of the sealed cache, or all of them. The draws, each from 0 to below 1, say how, which, and at which part
 * of it. Where there is no file, nothing happens.
 */
export function damageCache(dataDir: string, draws: readonly number[]): void {
  const cache = join(dataDir, 'cache')
  if (!existsSync(cache)) return
  const files = readdirSync(cache, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  const [how = 0, which, part = 0] = draws
  const path = pick(files, which)
  if (path === undefined) return
  const { size } = statSync(path)
  if (how < 0.3 && size > 0) {
    const content = readFileSync(path)
    const at = Math.floor(part * content.length)
    content.writeUInt8(content.readUInt8(at) ^ 0x55, at)
    writeFileSync(path, content)
  } else if (how < 0.5) truncateSync(path, Math.floor(part * size))
  else if (how < 0.65) rmSync(path)
  else if (how < 0.8) writeFileSync(path, Buffer.alloc(size, 7))
  else if (how < 0.9) writeFileSync(path, readFileSync(pick(files, part) ?? path))
  else for (const file of files) truncateSync(file, 0)
}
