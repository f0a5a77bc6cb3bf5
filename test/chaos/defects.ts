/** What an agent writes only when something in it is broken. What the world does to it has other names. */
const DEFECTS = [
  /"event":"(Agent failed|Workload API handler failed|A connection could not be taken over)"/,
  /"event":"(The thread that reads executables failed|Health endpoint failed)"/,
  /"code":"internal"/,
  /unhandled|uncaught/i,
]

/** Reads a log as it comes, in pieces that end anywhere, and finds the lines that tell of a defect. */
export class DefectReader {
  #rest = ''

  /** The lines that are complete now and tell of a defect. */
  read(text: string): readonly string[] {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    return lines.filter((line) => DEFECTS.some((defect) => defect.test(line)))
  }
}
