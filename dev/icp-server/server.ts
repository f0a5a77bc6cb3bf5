import { randomBytes, randomUUID } from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { AgentError } from '../../agent/errors.js'
import { CertificateAuthority } from './authority.js'
import { DevIcp } from './dev-icp.js'
import type { Services } from './exchange.js'
import { Faults } from './faults.js'
import { HttpsFront } from './https-front.js'
import { saveIssuer } from './issuer.js'
import { JoinTokens } from './join-tokens.js'
import { DevJwtSvids } from './jwt-svids.js'
import { KnownIssuer } from './known-issuer.js'
import { Limits } from './limits.js'
import {
  type DevIcpOptions,
  parseAccountId,
  parseExposed,
  parseIssuerCache,
  parseLifetime,
  parseListen,
  parseTrustDomain,
} from './options.js'
import { Registry } from './registry.js'
import { RequestLog } from './requests.js'
import { roles } from './roles.js'
import { makeServerIdentity, openServerCa } from './server-identity.js'
import { readState, StateFile } from './state.js'

/**
 * Starts the embedded ICP server: both generations of the HTTP API over HTTPS with client certificates, in front of a
 * real CA. For demos and tests only. Its state is kept in `dataDir` and survives a restart.
 *
 * Throws `config.invalid` (an address that is not loopback, a malformed id, another account than the directory's) and
 * `file.*`.
 */
export async function startDevIcp(options: DevIcpOptions): Promise<DevIcp> {
  const { clock, files, dataDir } = options
  const exposed = options.expose === undefined ? null : parseExposed(options.expose)
  const listen = parseListen(options.listen ?? '127.0.0.1:0', exposed !== null)
  const agentTtlSeconds = parseLifetime('the life of agent certificates', options.agentTtlSeconds ?? 3600)
  const svidTtlSeconds = parseLifetime('the life of workload certificates', options.svidTtlSeconds ?? 3600)
  const issuerCacheSeconds = parseIssuerCache(options.issuerCacheSeconds ?? 300)
  await files.makeDirectory(dataDir, 0o700)
  const statePath = join(dataDir, 'state.json')
  const saved = await readState(files, statePath)
  const accountId = accountOf(options.tenantId, saved?.accountId)
  const workloadTrustDomain = parseTrustDomain(options.workloadTrustDomain ?? accountId)
  const adminToken = options.adminToken ?? (await ownAdminToken(options))

  const { basicConstraints = false } = options
  const rules = roles({ accountId, workloadTrustDomain, agentTtlSeconds, basicConstraints })
  const [authority, serverCa] = await Promise.all([
    CertificateAuthority.open(rules, saved?.authorities ?? [], accountId, clock.now()),
    openServerCa(saved?.serverCa ?? null),
  ])
  const savedServerCa = saved?.serverCa ?? (await saveIssuer(serverCa))
  const generation = options.generation ?? 'tenant'
  const registry = new Registry(generation === 'workspace' ? [accountId, workloadTrustDomain] : null, saved ?? {})
  const joinTokens = new JoinTokens(saved?.joinTokens)
  const jwts = new DevJwtSvids(accountId, options.jwtKid ?? false, saved ?? undefined)
  const file = new StateFile(files, clock, statePath, () => ({
    version: 1,
    accountId,
    serverCa: savedServerCa,
    authorities: authority.save(),
    ...jwts.save(),
    ...registry.save(clock.now()),
    joinTokens: joinTokens.save(),
  }))
  const knownIssuer = new KnownIssuer(() => authority.bundlePem, clock, issuerCacheSeconds * 1000)
  const services: Services = {
    generation,
    accountId,
    workloadTrustDomain,
    adminToken,
    agentTtlSeconds,
    svidTtlSeconds,
    clock,
    authority,
    knownIssuer,
    registry,
    joinTokens,
    jwts,
    limits: new Limits(options.limits ?? 'faithful'),
    faults: new Faults(),
    requests: new RequestLog(options.onRequest),
    save: () => file.save(),
    saveSoon: () => file.saveSoon(),
    rotateCa: async () => {
      // As if the issuer had been cached just before: the new one stays unknown for the whole time, which is the worst case.
      knownIssuer.lookUp()
      await authority.rotate(accountId, clock.now())
      await file.save()
      front.caChanged()
    },
  }
  const front = new HttpsFront(await makeServerIdentity(serverCa, listen.host, exposed), services)
  const caPath = join(dataDir, 'ca.pem')
  await file.save()
  await files.writeAtomically(caPath, Buffer.from(serverCa.pem), 0o644)
  const port = await front.listen(listen)
  const origins = { others: urlOf(exposed ?? listen.host, port), local: urlOf(localOf(listen.host), port) }
  return new DevIcp(origins, serverCa.pem, caPath, services, [front, file])
}

/** The address by which this machine reaches the listening address. */
function localOf(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}

function urlOf(host: string, port: number): string {
  return `https://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

/** The account of the data directory, which a given account must equal. */
function accountOf(asked: string | undefined, saved: string | undefined): string {
  const wanted = asked === undefined ? saved : parseAccountId(asked)
  if (saved !== undefined && wanted !== saved) {
    throw new AgentError(
      'config.invalid',
      `the data directory belongs to the account ${saved}: give that tenant id or another directory`,
    )
  }
  return wanted ?? randomUUID()
}

/** The token of an earlier start, or a new one, kept in the data directory (0600). */
async function ownAdminToken({ files, dataDir }: DevIcpOptions): Promise<string> {
  const path = join(dataDir, 'admin-token')
  const known = await files.read(path, { maxBytes: 4096, own: true })
  if (known) return known.toString('utf8').trim()
  const token = randomBytes(24).toString('base64url')
  await files.writeAtomically(path, Buffer.from(`${token}\n`), 0o600)
  return token
}
