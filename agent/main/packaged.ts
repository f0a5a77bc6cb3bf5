import 'reflect-metadata'
import { takeKoffiFrom } from '../platform/koffi-libc.js'
import { packagedKoffi } from '../platform/packaged-koffi.js'
import { runProcess } from './process.js'

// Where a bundle begins (scripts/package.mjs): as index.ts, with the native part that the package carries.
takeKoffiFrom(packagedKoffi)
// A defect that rejects ends the process with its stack, as any unhandled rejection does.
void runProcess()
