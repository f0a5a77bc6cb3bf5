import { readFileSync } from 'node:fs'

/** CAP_SYS_PTRACE, which is needed to read `/proc/PID/exe` and `/proc/PID/ns` of other users' processes. */
const CAP_SYS_PTRACE = 19

/** False where `/proc` hides processes of other users from this one (`hidepid`): then the first process is hidden too. */
export function seesProcesses(read: () => unknown = () => readFileSync('/proc/1/status')): boolean {
  try {
    read()
    return true
  } catch {
    return false
  }
}

/** True if SYS_PTRACE is effective for this process, not only permitted; root may lack it too. */
export function seesOtherUsers(status: string = readFileSync('/proc/self/status', 'utf8')): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  return effective !== undefined && ((BigInt(`0x${effective}`) >> BigInt(CAP_SYS_PTRACE)) & 1n) === 1n
}
