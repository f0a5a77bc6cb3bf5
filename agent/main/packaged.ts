import './first.js'
import { isSea } from 'node:sea'
import { takeKoffiFrom } from '../platform/koffi-libc.js'
import { packagedKoffi } from '../platform/packaged-koffi.js'
import { start } from './start.js'

// Where a bundle begins (scripts/package.mjs): as index.ts, with the native part that the package carries.
takeKoffiFrom(packagedKoffi)
// A defect that rejects ends the process with its stack, as any unhandled rejection does.
void start(() => import('./process.js'), { sea: isSea() })
