import { expect, test } from 'vitest'
import { refusal } from '../../fakes/control-plane.js'
import { attested, ChangingCa } from './changing-ca.js'
import { IDENTITY_FILE, never, open, World } from './world.js'

/**
 * The bytes that version 0.1.0 writes and reads, with keys, certificates and digests masked: a node that goes to a later
 * version and back keeps its identity only while they stay the same.
 */
const TWO_CERTIFICATES = `{
  "version": 1,
  "tenant_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  "node_id": "node-1",
  "identity": {
    "agent_id": "a3bb189e-8bf9-4c8a-9d2b-1b8f6d2f4c11",
    "spiffe_id": "spiffe://7c9e6679-7425-40de-944b-e07fc1f90ae7/agent/node-1",
    "workspace": true,
    "received_at": 1767225720000,
    "chain": [
      "CERTIFICATE"
    ],
    "authorities": [
      "CERTIFICATE"
    ],
    "spread": 0.5,
    "join_token_sha256": "DIGEST",
    "key": "KEY"
  },
  "pending": null,
  "older_identity": {
    "agent_id": "a3bb189e-8bf9-4c8a-9d2b-1b8f6d2f4c11",
    "spiffe_id": "spiffe://7c9e6679-7425-40de-944b-e07fc1f90ae7/agent/node-1",
    "workspace": true,
    "received_at": 1767225600000,
    "chain": [
      "CERTIFICATE"
    ],
    "authorities": [
      "CERTIFICATE"
    ],
    "spread": 0.5,
    "join_token_sha256": "DIGEST",
    "key": "KEY"
  },
  "reception": {
    "older_first": false,
    "accepted_at": null,
    "refused_since": null,
    "inactive": null,
    "used_join_tokens": [
      "DIGEST"
    ],
    "fails_at": []
  }
}
`
const UNFINISHED_ATTESTATION = `{
  "version": 1,
  "tenant_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  "node_id": "node-1",
  "identity": null,
  "pending": {
    "key": "KEY",
    "since": 1767225600000,
    "join_token": {
      "sha256": "DIGEST",
      "at": 1767225600000
    },
    "answer": {
      "agent_id": "a3bb189e-8bf9-4c8a-9d2b-1b8f6d2f4c11",
      "spiffe_id": "spiffe://7c9e6679-7425-40de-944b-e07fc1f90ae7/agent/node-1",
      "workspace": true,
      "received_at": 1767225600000,
      "chain": [
        "CERTIFICATE"
      ],
      "authorities": []
    }
  },
  "older_identity": null,
  "reception": {
    "older_first": false,
    "accepted_at": null,
    "refused_since": null,
    "inactive": null,
    "used_join_tokens": [],
    "fails_at": []
  }
}
`

const masked = (text: string) =>
  text
    .replaceAll(/"-----BEGIN PRIVATE KEY-----[^"]*"/g, '"KEY"')
    .replaceAll(/"-----BEGIN CERTIFICATE-----[^"]*"/g, '"CERTIFICATE"')
    .replaceAll(/"[0-9a-f]{64}"/g, '"DIGEST"')

/** The bytes of that version, with what was masked as in `like`, in the same order. */
function filled(format: string, like: string): string {
  const values = [...like.matchAll(/"(?:-----BEGIN [^"]*|[0-9a-f]{64})"/g)].map(([value]) => value)
  return format.replaceAll(/"(?:KEY|CERTIFICATE|DIGEST)"/g, () => values.shift() ?? '')
}

const onDisk = (world: World) => world.files.content.get(IDENTITY_FILE)?.toString() ?? ''

test('two certificates are written in the bytes of version 0.1.0, read from them, and written back the same', async () => {
  const ca = await ChangingCa.create()
  const keeper = await attested(ca)
  await ca.rotate()
  await ca.world.clock.advance('2m')
  await keeper.attempt(never())
  expect(masked(onDisk(ca.world))).toBe(TWO_CERTIFICATES)

  const bytes = filled(TWO_CERTIFICATES, onDisk(ca.world))
  ca.world.files.content.set(IDENTITY_FILE, Buffer.from(bytes))
  const restarted = await ca.start()
  expect([restarted.state().kind, restarted.certificates.names()]).toEqual(['valid', keeper.certificates.names()])
  expect(ca.world.sinks.events('warn')).toEqual([])

  // The next write is of the same bytes, but for what it is about.
  const stop = new AbortController()
  const running = restarted.run(stop.signal, open)
  restarted.certificates.failed('jwt')
  await ca.world.pass(2_000)
  stop.abort()
  await running
  expect(onDisk(ca.world)).toBe(bytes.replace('"fails_at": []', '"fails_at": [\n      "jwt"\n    ]'))
})

test('an attestation that waits for its issuer is written in them, and ends after a restart from them', async () => {
  const world = await World.create({ generation: 'workspace' })
  world.giveToken()
  world.server.withoutBundle = true
  world.server.fail('bundle', refusal('icp.server_error', 500))
  const first = world.keeper()
  await first.restore()
  await first.attempt(never())
  expect(masked(onDisk(world))).toBe(UNFINISHED_ATTESTATION)

  world.files.content.set(IDENTITY_FILE, Buffer.from(filled(UNFINISHED_ATTESTATION, onDisk(world))))
  const restarted = world.keeper()
  await restarted.restore()
  await restarted.attempt(never())
  expect([restarted.state().kind, world.server.count('attestNode')]).toEqual(['valid', 1])
})
