import cluster from 'node:cluster'

/** Whether a variable of node:cluster makes this process listen through a parent process. */
export function isClusterWorker(): boolean {
  return cluster.isWorker
}
