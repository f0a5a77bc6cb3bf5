import { describe, expect, it } from 'vitest'
import { HttpError, type HttpRequest, type HttpResponse } from '../../../../agent/ports/http.js'
import { dockerNodeAttestor } from '../../../../attestors/docker/node.js'
import { MemoryFiles } from '../../../fakes/memory-files.js'

const ID = 'ab'.repeat(32)
const OTHER = 'cd'.repeat(32)
const never = () => new AbortController().signal

const MOUNTS = {
  docker: `810 780 254:1 /var/lib/docker/containers/${ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw`,
  podman: `900 880 0:25 /containers/overlay-containers/${ID}/userdata/resolv.conf /etc/resolv.conf rw - tmpfs tmpfs rw`,
  pod: `700 680 254:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/${ID}/hostname /etc/hostname rw - ext4 /dev/vda1 rw`,
  unrelated: `810 780 254:1 /var/lib/docker/containers/${ID}/hostname /mnt/hostname rw,relatime - ext4 /dev/vda1 rw`,
  machine: '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
}

interface Around {
  readonly mountinfo?: string
  readonly cgroup?: string
  readonly hostname?: string
  readonly engine?: (request: HttpRequest) => Partial<HttpResponse> | null
}

const inspected = (over: Record<string, unknown> = {}) =>
  JSON.stringify({
    Id: ID,
    Name: '/agent',
    Config: { Image: 'registry.example/icp-agent:1.2' },
    State: { Running: true, Pid: 4711 },
    ...over,
  })

function node({ mountinfo = MOUNTS.machine, cgroup = '0::/', hostname = 'host', engine = () => null }: Around) {
  const files = new MemoryFiles()
  files.content.set('/proc/self/mountinfo', Buffer.from(mountinfo))
  files.content.set('/proc/self/cgroup', Buffer.from(cgroup))
  const requests: HttpRequest[] = []
  const http = {
    request: async (request: HttpRequest): Promise<HttpResponse> => {
      requests.push(request)
      const answer = engine(request)
      if (!answer) throw new HttpError('unreachable', 'no engine')
      return { status: 200, headers: {}, body: Buffer.from(''), ...answer }
    },
    stream: () => Promise.reject(new TypeError('the node attestor hears no events')),
  }
  return { requests, attestor: dockerNodeAttestor({ files, http, socketPath: '/run/docker.sock', hostname }) }
}

describe('the docker node attestor', () => {
  it.each([
    ['what docker mounts into it', { mountinfo: `${MOUNTS.machine}\n${MOUNTS.docker}` }],
    ['what podman mounts into it', { mountinfo: MOUNTS.podman }],
    ['a cgroup v1 path', { cgroup: `12:cpu:/docker/${ID}\n0::/` }],
    ['a systemd scope', { cgroup: `0::/system.slice/docker-${ID}.scope` }],
    ['the inner one of two nested containers', { cgroup: `0::/docker/${OTHER}/docker/${ID}` }],
  ])('finds its container by %s', async (_how, around) => {
    const { attestor } = node(around)
    expect(await attestor.applies(never())).toBe(true)
    expect(await attestor.evidence(never())).toEqual({ type: 'docker', evidence: { container_id: ID } })
  })

  it.each([
    ['a plain machine', { mountinfo: MOUNTS.machine }],
    ["a pod's sandbox, which is no container", { mountinfo: MOUNTS.pod }],
    ['a container directory that is mounted elsewhere', { mountinfo: MOUNTS.unrelated }],
    ['a host name like an id that no engine knows', { hostname: ID.slice(0, 12) }],
  ])('does not take %s for one', async (_what, around) => {
    const { attestor } = node(around)
    expect(await attestor.applies(never())).toBe(false)
    await expect(attestor.evidence(never())).rejects.toMatchObject({ code: 'platform.unavailable' })
  })

  it('asks the engine for the image, over its socket and without the certificate', async () => {
    const { attestor, requests } = node({
      mountinfo: MOUNTS.docker,
      engine: () => ({ body: Buffer.from(inspected()) }),
    })
    expect((await attestor.evidence(never())).evidence).toEqual({
      container_id: ID,
      image_name: 'registry.example/icp-agent:1.2',
    })
    expect(requests[0]).toMatchObject({
      url: `http://localhost/containers/${ID}/json`,
      unixSocket: '/run/docker.sock',
      withoutIdentity: true,
    })
  })

  it('believes a host name that looks like an id only where the engine knows it', async () => {
    const { attestor } = node({ hostname: ID.slice(0, 12), engine: () => ({ body: Buffer.from(inspected()) }) })
    expect((await attestor.evidence(never())).evidence['container_id']).toBe(ID)
  })

  it.each([
    ['another container that only bears that name', inspected({ Id: OTHER })],
    ['a container that does not run', inspected({ State: { Running: false, Pid: 0, Status: 'exited' } })],
    ['an answer without an image', inspected({ Config: null })],
    ['an answer that is no JSON', '<html>'],
    ['an answer that is null', 'null'],
  ])('does not believe a host name when the engine answers with %s', async (_what, body) => {
    const { attestor } = node({ hostname: ID.slice(0, 12), engine: () => ({ body: Buffer.from(body) }) })
    expect(await attestor.applies(never())).toBe(false)
  })

  it('does not take an aborted look for the answer that there is no container', async () => {
    const stop = new AbortController()
    const { attestor } = node({
      hostname: ID.slice(0, 12),
      engine: () => {
        stop.abort()
        return null
      },
    })
    await expect(attestor.applies(stop.signal)).rejects.toMatchObject({ name: 'AbortError' })
  })
})
