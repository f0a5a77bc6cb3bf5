import { readFileSync } from 'node:fs'

/**
 * The mounts of the host. Anybody may make a user and a mount namespace of his own, mount a program of his over
 * `/usr/bin/trusted` there, and hand its descriptor to a process outside, which runs it: `/proc/PID/exe` then reads
 * `/usr/bin/trusted`, in the host's namespace. So a path counts only when the program's mount is one of the host's.
 */
export class HostMounts {
  /** `file`: the mountinfo of a process in the host's mount namespace. */
  constructor(private readonly file: string) {}

  /**
   * Read again each time: the kernel reuses the id of a mount that is gone. The mount of a running program cannot go.
   */
  has(mountId: bigint): boolean {
    // `36 35 98:0 /mnt1 /mnt2 rw,noatime …`: a line begins with the id; line feeds in names are escaped.
    return `\n${readFileSync(this.file, 'utf8')}`.includes(`\n${mountId} `)
  }
}
