// The part of undici that the agent uses, for the bundle: undici's index also loads fetch, cookies, mocks and caches, which
// takes 20 ms at each start and 3 MB. A missing name fails the build.
import api from 'undici/lib/api/index.js'
import buildConnector from 'undici/lib/core/connect.js'
import errors from 'undici/lib/core/errors.js'
import Agent from 'undici/lib/dispatcher/agent.js'
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'
import Pool from 'undici/lib/dispatcher/pool.js'
import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js'

// As in its index: `request` and others.
Object.assign(Dispatcher.prototype, api)

export { Agent, buildConnector, Dispatcher, errors, Pool, ProxyAgent }
