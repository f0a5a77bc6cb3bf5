"""A workload that holds its identity through authsec-sdk and tells on stdout, one JSON object a line, what it sees.

`workload [bare]` answers commands from stdin: a number, the command, its arguments; `bare` is for the form in which the
socket is named. `watch` does the same, and `messages` prints the descriptor of the SDK's messages. CERT_DIR is for files
of its own, POLL_SECONDS for a shorter poll.
"""

import asyncio
import base64
import json
import os
import ssl
import sys

from authsec_sdk.spiffe import QuickStartSVID
from authsec_sdk.spiffe.api import workload_pb2
from cryptography import x509
from cryptography.x509 import BasicConstraints
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store


def tell(line):
    print(json.dumps(line), flush=True)


def describe(held):
    """The SDK takes PEM as it comes; a peer would verify it."""
    leaf, *intermediates = x509.load_pem_x509_certificates(held.certificate.encode())
    authorities = x509.load_pem_x509_certificates(held.trust_bundle.encode())
    authority = ExtensionPolicy.permit_all().require_present(BasicConstraints, Criticality.CRITICAL, None)
    policy = PolicyBuilder().store(Store(authorities))
    policy = policy.extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
    policy.build_client_verifier().verify(leaf, intermediates)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    [identity] = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert identity == held.spiffe_id
    return {"id": identity, "serial": format(leaf.serial_number, "x")}


async def watch(svid):
    """The SDK calls nobody back: what it holds is looked at."""
    certificate, bundle = None, None
    while True:
        if svid.trust_bundle != bundle:
            bundle = svid.trust_bundle
            name = svid.spiffe_id.split("/")[2]
            tell({"event": "x509-bundles", "authorities": {name: bundle.count("BEGIN CERTIFICATE")}})
        if svid.certificate != certificate:
            certificate = svid.certificate
            try:
                tell({"event": "x509", "svids": [describe(svid)]})
            except Exception as error:
                tell({"event": "broken", "error": repr(error)})
        await asyncio.sleep(0.05)


def handshake(svid):
    """mTLS with the SDK's own contexts, both ends here; returns the SPIFFE ID that the server end saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = svid.create_ssl_context_for_server().wrap_bio(to_server, to_client, server_side=True)
    client = svid.create_ssl_context_for_client().wrap_bio(to_client, to_server)
    pending = [client, server]
    for _ in range(10):
        for end in list(pending):
            try:
                end.do_handshake()
                pending.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert not pending
    return [name for kind, name in server.getpeercert()["subjectAltName"] if kind == "URI"]


async def answer(svid, command, *arguments):
    client = svid.client
    if command == "fetch":
        # What the SDK does every 30 minutes.
        if not await client.fetch_x509_svid_once():
            raise client.last_error
        return [describe(client)]
    if command == "current":
        return {"id": svid.spiffe_id}
    if command == "jwt":
        token = await client.fetch_jwt_svid(list(arguments))
        return {"id": svid.spiffe_id, "token": token}
    if command == "validate":
        audience, token = arguments
        validated = await client.validate_jwt_svid(token, audience)
        if validated is None:
            raise ValueError("the agent says that the token is not valid")
        return {"id": validated["spiffe_id"]}
    if command == "bundles":
        async for bundles in client.fetch_x509_bundles_stream():
            return sorted(bundles)
    if command == "handshake":
        return handshake(svid)
    raise ValueError(f"no such command: {command}")


async def commands(svid):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        number, *words = line.split()
        try:
            tell({"reply": number, "result": await answer(svid, *words)})
        except Exception as error:
            tell({"reply": number, "error": f"{type(error).__name__}: {error}"})


class Apart(QuickStartSVID):
    """QuickStartSVID with files of its own, and a poll that does not take half an hour."""

    _RENEWAL_INTERVAL_SECONDS = int(os.environ.get("POLL_SECONDS", "1800"))

    def __init__(self, socket_path):
        super().__init__(socket_path, cert_dir=os.environ["CERT_DIR"])


async def main(mode, form="uri"):
    if mode == "messages":
        tell({"event": "messages", "descriptor": base64.b64encode(workload_pb2.DESCRIPTOR.serialized_pb).decode()})
        return
    quick_start = Apart if "CERT_DIR" in os.environ else QuickStartSVID
    address = os.environ["SPIFFE_ENDPOINT_SOCKET"]
    begun = asyncio.get_running_loop().time()
    try:
        svid = await quick_start.initialize(
            socket_path=address if form == "uri" else address.removeprefix("unix://")
        )
    except RuntimeError as error:
        seconds = asyncio.get_running_loop().time() - begun
        tell({"event": "gave-up", "error": str(error), "seconds": seconds})
        return
    await asyncio.gather(watch(svid), commands(svid))


asyncio.run(main(*sys.argv[1:]))
