import type { ErrorCode } from '../errors.js'

const WAIT =
  'Wait longer (--timeout; for `files` and `exec`: --wait). `icp-agent status` and the log of the agent say what it waits for.'

/** What a person at the terminal can do about an error, if its message does not say so. */
export const REMEDIES: Partial<Record<ErrorCode, string>> = {
  'command.misused': '`icp-agent COMMAND --help` shows what a command takes.',
  'client.address_invalid': 'Give the address as unix:///path/to/agent.sock, with --socket or SPIFFE_ENDPOINT_SOCKET.',
  'client.unreachable':
    'Start the agent (icp-agent --config FILE), or name the socket of one that runs with --socket unix:///path or SPIFFE_ENDPOINT_SOCKET.',
  'client.denied':
    'If the message names no other cause, compare the registration entries with this process; a new entry takes effect at the next sync (sync.interval, 30 s by default). The log of the agent has the selectors that it found.',
  'client.unavailable': WAIT,
  'client.unimplemented': 'Use an agent, or a version of it, that offers it.',
  'client.bad_response': 'Do not use what was received. Is the socket that of an agent, and are both up to date?',
  'client.timeout': WAIT,
  'request.too_many': 'This user or container holds too many connections or streams; close some.',
  'config.invalid': '`icp-agent validate --config FILE` checks a configuration without starting the agent.',
  'agent.already_running': 'Stop the other agent, or give this one a data_dir and a socket_path of its own.',
  'agent.locked_out': 'Have an administrator mint a join token, and put it into agent.join_token_path.',
  'agent.token_consumed': 'Have an administrator mint another join token, and put it into agent.join_token_path.',
  'kernel.unsupported': 'Use Linux 5.3 or later, with a supported version of Node.',
  'file.unsafe': 'Use a directory that only root and this user can write to.',
  'icp.unreachable': 'Check icp_service.address, the network and the proxy settings.',
  'icp.tls': 'If the server has a private CA, name its certificate in icp_service.trust_bundle_path.',
  internal: 'This is a defect; please report it, with the output of the same command under ICP_DEBUG=1.',
}
