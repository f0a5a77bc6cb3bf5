import { readFileSync } from 'node:fs'

/**
 * The mounts of the host. Any user may create a user and mount namespace, mount a program over `/usr/bin/trusted` there,
 * and pass its descriptor to a process outside, which runs it: `/proc/PID/exe` then reads `/usr/bin/trusted` in the
 * host's namespace. So a path is used only if the program's mount is one of the host's.
 */
export class HostMounts {
  /** `file`: the mountinfo of a process in the host's mount namespace. */
  constructor(private readonly file: string) {}

  /**
   * Read again each time, because the kernel reuses ids of removed mounts. The mount of a running program cannot be removed.
   */
  has(mountId: bigint): boolean {
    // `36 35 98:0 /mnt1 /mnt2 rw,noatime …`: a line begins with the id; line feeds in names are escaped.
    return `\n${readFileSync(this.file, 'utf8')}`.includes(`\n${mountId} `)
  }
}
