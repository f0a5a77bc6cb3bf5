#!/usr/bin/env node
import './first.js'

// Not a static import: all modules would be read before the first one runs.
const { start } = await import('./start.js')
await start(() => import('./process.js'))
