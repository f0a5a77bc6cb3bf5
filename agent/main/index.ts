#!/usr/bin/env node
import './first.js'

// Not a static import, by which all modules would load before the first one runs.
const { start } = await import('./start.js')
await start(() => import('./process.js'))
