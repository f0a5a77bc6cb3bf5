import { type OpenFileShare, shareOut } from '../platform/open-files.js'

/** The division of descriptors for the connections that the configuration in force allows. */
export function openFileShare(limit: number | null, limits: { readonly connections: number }): () => OpenFileShare {
  let wanted = limits.connections
  let share = shareOut(limit, wanted)
  return () => {
    if (wanted !== limits.connections) {
      wanted = limits.connections
      share = shareOut(limit, wanted)
    }
    return share
  }
}
