import { closeSync, constants, existsSync, openSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { getRawAsset, isSea } from 'node:sea'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../errors.js'
import type { Koffi } from './koffi-libc.js'

/** A file without a name, which is removed when it is closed. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY
/** Folders where such a file may be made; one of them may be missing, read-only or mounted `noexec`. */
const FOLDERS: readonly string[] = [tmpdir(), '/dev/shm', '/run', '/var/tmp', '/var/lib/icp-agent', '.']
/** Prebuilt for both C libraries; only that of this system can be loaded. */
const LIBRARIES: readonly string[] = ['linux', 'musl']

/**
 * The native binding of a bundle: inside the single executable, or in `native/` beside the bundle. Throws an Error that
 * names each place that was tried.
 */
export function packagedKoffi(): Koffi {
  return isSea() ? fromExecutable() : fromFile()
}

function fromFile(): Koffi {
  return firstThatWorks(LIBRARIES, (library) => {
    const file = `./native/${library}_${process.arch}/koffi.node`
    return loaded(fileURLToPath(new URL(file, import.meta.url)))
  })
}

/** Loads it through a descriptor, not by a name that another user could replace. */
function fromExecutable(): Koffi {
  const asset = getRawAsset('koffi.node')
  if (typeof asset === 'string') throw new TypeError('an asset without an encoding is bytes')
  const bytes = new Uint8Array(asset)
  return firstThatWorks(
    FOLDERS.filter((folder) => existsSync(folder)),
    (folder) => {
      const fd = openSync(folder, O_TMPFILE | constants.O_RDWR, 0o700)
      try {
        for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written)
        return loaded(`/proc/self/fd/${fd}`)
      } finally {
        closeSync(fd)
      }
    },
  )
}

function firstThatWorks(places: readonly string[], load: (place: string) => Koffi): Koffi {
  const failures: string[] = []
  for (const place of places) {
    try {
      return load(place)
    } catch (error) {
      failures.push(`${place}: ${messageOf(error)}`)
    }
  }
  throw new Error(`the native part of the agent cannot be loaded (${failures.join('; ')})`)
}

function loaded(path: string): Koffi {
  const module: { exports: Partial<Koffi> } = { exports: {} }
  process.dlopen(module, path)
  const { load, errno } = module.exports
  if (!load || !errno) throw new Error('it is not koffi')
  return { load, errno }
}
