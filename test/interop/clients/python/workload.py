"""A workload that holds its identity through py-spiffe and tells on stdout, one JSON object a line, what it sees.

`workload` watches everything and answers commands from stdin: a number, the command, its arguments; `watch` watches
its X.509-SVIDs and nothing else.
"""

import json
import sys
import threading

from cryptography.x509 import BasicConstraints
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store
from spiffe import JwtSource, WorkloadApiClient, X509Source
from spiffe.svid.jwt_svid import JwtSvid

_output = threading.Lock()


def tell(line):
    with _output:
        print(json.dumps(line), flush=True)


def serial(svid):
    return format(svid.leaf.serial_number, "x")


def verified(svid, bundle):
    """The library parses SVIDs but does not verify paths; cryptography does."""
    authority = ExtensionPolicy.permit_all().require_present(BasicConstraints, Criticality.CRITICAL, None)
    store = Store(list(bundle.x509_authorities))
    policy = PolicyBuilder().store(store).extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
    policy.build_client_verifier().verify(svid.leaf, svid.cert_chain[1:])
    return {"id": str(svid.spiffe_id), "serial": serial(svid)}


def describe(context):
    bundles = context.x509_bundle_set
    return [verified(svid, bundles.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)) for svid in context.x509_svids]


def tell_authorities(bundle_set):
    authorities = {bundle.trust_domain.name: len(bundle.x509_authorities) for bundle in bundle_set.bundles}
    tell({"event": "x509-bundles", "authorities": authorities})


def updated(context):
    try:
        tell({"event": "x509", "svids": describe(context)})
    except Exception as error:
        tell({"event": "broken", "error": repr(error)})
    tell_authorities(context.x509_bundle_set)


def jwt_updated(bundles):
    keys = {bundle.trust_domain.name: len(bundle.jwt_authorities) for bundle in bundles.bundles}
    tell({"event": "jwt-bundles", "keys": keys})


def watch():
    client = WorkloadApiClient()
    client.stream_x509_contexts(updated, lambda error: tell({"event": "x509-ended", "error": str(error)}))
    return client


class Workload:
    def __init__(self):
        self.client = watch()
        self.client.stream_jwt_bundles(jwt_updated, lambda error: tell({"event": "jwt-ended", "error": str(error)}))
        # They wait for their first update, however long it takes.
        self._x509_source = X509Source()
        self._jwt_source = JwtSource()
        tell_authorities(self.client.fetch_x509_bundles(timeout=10))

    def answer(self, command, *arguments):
        return getattr(self, command)(*arguments)

    def fetch(self):
        return describe(self.client.fetch_x509_context(timeout=10))

    def current(self):
        svid = self._x509_source.get_x509_context().default_svid
        return {"id": str(svid.spiffe_id), "serial": serial(svid)}

    def jwt(self, audience):
        svid = self._jwt_source.fetch_svid({audience})
        return {"id": str(svid.spiffe_id), "token": svid.token}

    def verify(self, audience, token):
        subject = JwtSvid.parse_insecure(token, {audience}).spiffe_id
        bundle = self._jwt_source.get_bundle_for_trust_domain(subject.trust_domain)
        return {"id": str(JwtSvid.parse_and_validate(token, bundle, {audience}).spiffe_id)}

    def validate(self, audience, token):
        return {"id": str(self.client.validate_jwt_svid(token, audience, timeout=10).spiffe_id)}


def main(mode):
    workload = Workload() if mode == "workload" else watch()
    for line in sys.stdin:
        number, *words = line.split()
        try:
            tell({"reply": number, "result": workload.answer(*words)})
        except Exception as error:
            tell({"reply": number, "error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main(sys.argv[1])
