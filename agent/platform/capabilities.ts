import { readFileSync } from 'node:fs'

/** Number of the capability with which `/proc/PID/exe` and `/proc/PID/ns` of other users' processes can be read. */
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

/** True where SYS_PTRACE is in effect for this process: permitted alone, or for root without it, does not count. */
export function seesOtherUsers(status: string = readFileSync('/proc/self/status', 'utf8')): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  return effective !== undefined && ((BigInt(`0x${effective}`) >> BigInt(CAP_SYS_PTRACE)) & 1n) === 1n
}
