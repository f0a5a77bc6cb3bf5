import { bool, matching, setting } from '../setting.js'

const NAME = matching(/^\S{1,255}$/, 'use a name without spaces, of at most 255 characters')

/** Named as SPIRE names them. */
export const sdsSettings = {
  'sds.enabled': setting(bool(), {
    kind: 'true, false',
    default: 'true',
    reload: 'restart',
    what: "Serves Envoy's Secret Discovery Service on the socket of the Workload API.",
  }),
  'sds.default_svid_name': setting(NAME, {
    kind: 'text',
    default: 'default',
    reload: 'restart',
    what: 'The secret name for the first SVID of the caller.',
  }),
  'sds.default_bundle_name': setting(NAME, {
    kind: 'text',
    default: 'ROOTCA',
    reload: 'restart',
    what: "The secret name for the bundle of the caller's own trust domain.",
  }),
  'sds.default_all_bundles_name': setting(NAME, {
    kind: 'text',
    default: 'ALL',
    reload: 'restart',
    what: 'The secret name for all bundles in one validation context.',
  }),
  'sds.disable_spiffe_cert_validation': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'restart',
    what: "Bundles are plain CA certificates (`trusted_ca`) instead of a configuration of Envoy's SPIFFE validator. Old Envoys (1.17), and those whose node metadata asks for it, get them anyhow.",
  }),
}
