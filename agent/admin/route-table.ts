import type { AdminRoute } from './route.js'
import { bundles } from './routes/bundles.js'
import { config } from './routes/config.js'
import { denial } from './routes/denial.js'
import { denials } from './routes/denials.js'
import { entries } from './routes/entries.js'
import { explain } from './routes/explain.js'
import { logLevel, setLogLevel } from './routes/log-level.js'
import { logs } from './routes/logs.js'
import { metrics } from './routes/metrics.js'
import { reload } from './routes/reload.js'
import { status } from './routes/status.js'
import { workloads } from './routes/workloads.js'

/** All routes of the admin socket: one line here and one file for each. */
export const ROUTES: readonly AdminRoute[] = [
  status,
  workloads,
  entries,
  denials,
  denial,
  bundles,
  explain,
  logs,
  metrics,
  config,
  logLevel,
  setLogLevel,
  reload,
]
