import { Worker } from 'node:worker_threads'
import { type DigestAnswer, type DigestOrder, type DigestWorkerData, digestWorkerSource } from './digest-worker.js'

const CACHE_SIZE = 1024

/** A thread that answers requests. */
export interface DigestThread {
  post(order: DigestOrder): void
  /** The id of the present order (0: none) and the number of its steps. */
  progress(): { readonly request: number; readonly steps: number }
  /** Ends the thread, unless it hangs in a system call. */
  terminate(): void
}

export type StartThread = (answered: (answer: DigestAnswer) => void, died: (error: unknown) => void) => DigestThread

/** The real one: a worker of Node. `cacheSize` digests are cached by the file's fstat. */
export function workerThread(maxBytes: number, cacheSize = CACHE_SIZE): StartThread {
  return (answered, died) => {
    const progress = new SharedArrayBuffer(8)
    const workerData: DigestWorkerData = { progress, maxBytes, cacheSize }
    const worker = new Worker(digestWorkerSource(), {
      eval: true,
      name: 'digests',
      workerData,
      env: {},
      // It holds a part of a file and a thousand digests; the default limits depend on the machine's memory.
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4, stackSizeMb: 1 },
    })
    worker.on('message', answered)
    worker.on('error', died)
    worker.on('exit', died)
    // An idle worker does not keep the agent running.
    worker.unref()
    const steps = new Int32Array(progress)
    return {
      post: (order) => worker.postMessage(order),
      progress: () => ({ request: Atomics.load(steps, 1), steps: Atomics.load(steps, 0) }),
      terminate: () => void worker.terminate(),
    }
  }
}
