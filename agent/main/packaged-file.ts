import './first.js'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { keepCompiled } from './compile-cache.js'

// The command of the npm package (scripts/package/npm-package.mjs). The agent is the file beside it: only a module that is
// loaded after the cache is on comes from there.
keepCompiled(join(dirname(fileURLToPath(import.meta.url)), 'compiled'))
createRequire(import.meta.url)('./agent.cjs')
