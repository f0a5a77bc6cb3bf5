// What the agent uses of undici, for the bundle: its index loads fetch, cookies, mocks and caches besides, which takes
// 20 ms at each start and 3 MB. A name that is missing here fails the build.
import api from 'undici/lib/api/index.js'
import buildConnector from 'undici/lib/core/connect.js'
import errors from 'undici/lib/core/errors.js'
import Agent from 'undici/lib/dispatcher/agent.js'
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'
import Pool from 'undici/lib/dispatcher/pool.js'
import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js'

// As its index does: `request` and its like.
Object.assign(Dispatcher.prototype, api)

export { Agent, buildConnector, Dispatcher, errors, Pool, ProxyAgent }
