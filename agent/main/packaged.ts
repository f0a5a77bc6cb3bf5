import './first.js'
import { isSea } from 'node:sea'
import { takeKoffiFrom } from '../platform/koffi-libc.js'
import { packagedKoffi } from '../platform/packaged-koffi.js'
import { start } from './start.js'

// The entry point of a bundle (scripts/package.mjs): as index.ts, with the native library of the package.
takeKoffiFrom(packagedKoffi)
// A defect ends the process with its stack, as any unhandled rejection.
void start(() => import('./process.js'), { sea: isSea() })
