import cluster from 'node:cluster'

/** Whether a variable has made this process one that listens by way of a parent. */
export function isClusterWorker(): boolean {
  return cluster.isWorker
}
